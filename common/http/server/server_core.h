#ifndef SLIPWAY_COMMON_HTTP_SERVER_SERVER_CORE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_SERVER_CORE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/time/time.h"
#include "common/http/server/server.h"
#include "common/sync/mutex.h"

namespace slipway::http {

/// What stands for the peer address of a Unix socket.
inline constexpr char kUnixPeer[] = "unix";

/// In nanoseconds; infinity becomes a time that can still be added to another.
inline int64_t Nanos(absl::Duration duration) {
  constexpr absl::Duration kForever = absl::Hours(24 * 365 * 100);
  return absl::ToInt64Nanoseconds(std::min(duration, kForever));
}

/// How many connections there are, in all and by peer address. Any thread.
class ConnectionCounts {
 public:
  /// `address` may open one more: nullopt, counted until Release. Otherwise why not.
  std::optional<Refusal> Admit(const std::string& address, const ServerOptions& options);
  /// A connection of the proxy `from` turns out to be one of `to`, which Release then takes.
  /// Otherwise why it may not be; it is then counted as before.
  std::optional<Refusal> Rename(const std::string& from, const std::string& to,
                                const ServerOptions& options);
  void Release(const std::string& address);

  int open() const;
  /// Waits until none is open; false when the time ran out.
  bool WaitForNone(const Clock& clock, absl::Duration timeout);

 private:
  std::optional<Refusal> Count(const std::string& address, const ServerOptions& options)
      REQUIRES(mutex_);
  void Forget(const std::string& address) REQUIRES(mutex_);

  mutable Mutex mutex_;
  CondVar none_;
  int open_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, int> by_address_ GUARDED_BY(mutex_);
};

/// What every connection of a server shares. Held by each, since an exchange may outlive its
/// server. Any thread.
struct ServerCore {
  ServerCore(ServerOptions options_in, Handler& handler_in)
      : options(std::move(options_in)), handler(handler_in) {}

  /// Monotonic nanoseconds, cheap to compare and to store.
  int64_t Now() const { return absl::ToInt64Nanoseconds(options.clock->Monotonic()); }

  void CountRefusal(Refusal why) {
    refused[static_cast<size_t>(why)].fetch_add(1, std::memory_order_relaxed);
  }

  const ServerOptions options;
  Handler& handler;
  ConnectionCounts connections;

  std::atomic<bool> draining{false};    // answers say Connection: close
  std::atomic<bool> close_idle{false};  // and nothing is read after them

  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> requests_started{0};
  std::atomic<uint64_t> requests_open{0};
  std::atomic<uint64_t> requests_abandoned{0};
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> bytes_written{0};
  std::array<std::atomic<uint64_t>, static_cast<size_t>(Refusal::kCount)> refused{};
};

/// An answer of the server's own, with a request id. `head` may be null.
Response RenderError(const ServerCore& core, int status, std::string_view code,
                     std::string_view message, const RequestHead* head);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_SERVER_CORE_H_
