#ifndef SLIPWAY_COMMON_HTTP_SERVER_ALLOWANCE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_ALLOWANCE_H_

#include <algorithm>
#include <cstdint>

namespace slipway::http {

/// How much of something a peer may still do: `burst` at once, then `per_second`, and more where it
/// earns it. A leaky bucket; times are monotonic nanoseconds. One thread at a time.
class Allowance {
 public:
  constexpr Allowance(int64_t burst, int64_t per_second)
      : cost_(1'000'000'000 / per_second), capacity_(burst * cost_) {}

  /// False when it is used up.
  bool Spend(int64_t now) {
    level_ = std::max<int64_t>(0, level_ - std::max<int64_t>(0, now - last_));
    last_ = now;
    level_ = std::min(level_ + cost_, capacity_ + cost_);
    return level_ <= capacity_;
  }

  void Earn(int64_t count) { level_ = std::max<int64_t>(0, level_ - count * cost_); }

 private:
  int64_t cost_;      // in nanoseconds of waiting
  int64_t capacity_;  // the same
  int64_t level_ = 0;
  int64_t last_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_ALLOWANCE_H_
