#include "common/sync/process_barrier.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>

namespace slipway {
namespace {

constexpr int kLooks = 4000;  // some 50 microseconds

static_assert(std::atomic<uint32_t>::is_always_lock_free);

// False: the word has not changed in that time.
bool SleepWhile(std::atomic<uint32_t>& word, uint32_t value, absl::Duration time) {
  const timespec limit = absl::ToTimespec(time);
  return ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0) == 0 ||
         errno != ETIMEDOUT;
}
void WakeAll(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

struct ProcessBarrier::Turns {
  alignas(64) std::atomic<uint32_t> taken;
};

ProcessBarrier::ProcessBarrier(void* memory, int rank, int processes)
    : turns_(static_cast<Turns*>(memory)), rank_(rank), processes_(processes) {
  static_assert(sizeof(Turns) == 64);
}

bool ProcessBarrier::Wait(absl::Duration patience) {
  ++turn_;
  turns_[rank_].taken.store(turn_, std::memory_order_release);
  WakeAll(turns_[rank_].taken);
  for (int other = 0; other < processes_; ++other) {
    std::atomic<uint32_t>& taken = turns_[other].taken;
    for (int looks = 0;; ++looks) {
      const uint32_t seen = taken.load(std::memory_order_acquire);
      // It may be one ahead, and the numbers go round.
      if (static_cast<int32_t>(seen - turn_) >= 0) break;
      if (looks < kLooks) {
        __builtin_ia32_pause();
        continue;
      }
      if (!SleepWhile(taken, seen, patience)) return false;
    }
  }
  return true;
}

}  // namespace slipway
