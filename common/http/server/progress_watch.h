#ifndef SLIPWAY_COMMON_HTTP_SERVER_PROGRESS_WATCH_H_
#define SLIPWAY_COMMON_HTTP_SERVER_PROGRESS_WATCH_H_

#include <algorithm>
#include <cstdint>
#include <limits>

namespace slipway::http {

/// Watches waits for bytes in one direction: they stall when fewer than kEnough come within the
/// time allowed. Only waiting counts, in one go or in several, so that a peer which sends byte
/// after byte gains no time, and a reader that takes its time loses none. Times are monotonic
/// nanoseconds; `bytes` counts all since the connection began. One thread at a time.
class ProgressWatch {
 public:
  static constexpr uint64_t kEnough = 4 << 10;

  bool waiting() const { return deadline_ != kNever; }

  /// A wait begins; nothing where one is under way.
  void Begin(int64_t now, int64_t allowed, uint64_t bytes) {
    if (waiting()) return;
    if (left_ == 0) {
      left_ = allowed;
      mark_ = bytes;
    }
    deadline_ = now + left_;
  }

  /// The wait ends. With fewer bytes than enough the next one goes on where this stands.
  void End(int64_t now, uint64_t bytes) {
    if (!waiting()) return;
    left_ = bytes - mark_ >= kEnough ? 0 : std::max<int64_t>(1, deadline_ - now);
    deadline_ = kNever;
  }

  /// Whether a wait under way has stalled. Where enough came it starts anew.
  bool HasStalled(int64_t now, int64_t allowed, uint64_t bytes) {
    if (now < deadline_) return false;
    if (bytes - mark_ < kEnough) return true;
    mark_ = bytes;
    deadline_ = now + allowed;
    return false;
  }

  void Reset() { *this = ProgressWatch(); }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  int64_t deadline_ = kNever;
  int64_t left_ = 0;  // while nobody waits: what remains of a wait that brought too few
  uint64_t mark_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_PROGRESS_WATCH_H_
