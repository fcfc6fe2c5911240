#include "common/http/server/request_id.h"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/time/clock.h"

namespace slipway::http {
namespace {

constexpr size_t kTimeBytes = 6;
constexpr size_t kRandomBytes = 10;

// Random bytes of one thread, fetched for many ids at once: a system call each would cost a
// small request a twentieth of its time.
struct Pool {
  unsigned char bytes[64 * kRandomBytes];
  size_t used = sizeof(bytes);
};

void Fill(Pool& pool) {
  size_t filled = 0;
  while (filled < sizeof(pool.bytes)) {
    const ssize_t got = ::getrandom(pool.bytes + filled, sizeof(pool.bytes) - filled, 0);
    if (got > 0) {
      filled += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      std::abort();  // ids that may repeat would make calls free
    }
  }
  pool.used = 0;
}

}  // namespace

std::string NewRequestId() {
  static thread_local Pool pool;
  if (pool.used == sizeof(pool.bytes)) Fill(pool);
  const int64_t now = absl::ToUnixMillis(Clock::Real().Now());
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id(2 * (kTimeBytes + kRandomBytes), '0');
  for (size_t i = 0; i < kTimeBytes + kRandomBytes; ++i) {
    const auto byte = i < kTimeBytes ? static_cast<unsigned char>(now >> (8 * (kTimeBytes - 1 - i)))
                                     : pool.bytes[pool.used++];
    id[2 * i] = kDigits[byte >> 4];
    id[2 * i + 1] = kDigits[byte & 15];
  }
  return id;
}

}  // namespace slipway::http
