#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_RETRY_BUDGET_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_RETRY_BUDGET_H_

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace slipway::gateway {

/// How many of an endpoint's calls may be made a second time, so that trying again adds at most a
/// fifth where everything fails: a share of its calls of the last ten seconds, as Finagle's
/// RetryBudget. Pure: time is an argument and never goes back. One thread at a time.
class RetryBudget {
 public:
  static constexpr double kShare = 0.2;
  /// In any ten seconds, so that calls that come rarely can be repeated, too.
  static constexpr int64_t kAlways = 3;

  void OnCall(absl::Duration now) {
    At(now).calls += 1;
    calls_ += 1;
  }

  /// True where one more may be made, which is then counted.
  bool TryRetry(absl::Duration now);

 private:
  static constexpr int64_t kSeconds = 10;
  struct Second {
    int64_t calls = 0;
    int64_t retries = 0;
  };

  /// This second's, once those that are over have left the sums.
  Second& At(absl::Duration now);

  std::array<Second, kSeconds> seconds_ = {};  // a ring
  int64_t newest_ = 0;
  int64_t calls_ = 0;
  int64_t retries_ = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_RETRY_BUDGET_H_
