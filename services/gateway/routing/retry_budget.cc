#include "services/gateway/routing/retry_budget.h"

#include <algorithm>

namespace slipway::gateway {

RetryBudget::Second& RetryBudget::At(absl::Duration now) {
  const int64_t second = absl::ToInt64Seconds(now);
  // After a long pause one turn of the ring clears all of it.
  newest_ = std::max(newest_, second - kSeconds);
  while (newest_ < second) {
    Second& oldest = seconds_[static_cast<size_t>(++newest_ % kSeconds)];
    calls_ -= oldest.calls;
    retries_ -= oldest.retries;
    oldest = {};
  }
  return seconds_[static_cast<size_t>(newest_ % kSeconds)];
}

bool RetryBudget::TryRetry(absl::Duration now) {
  Second& second = At(now);
  const auto allowed = static_cast<int64_t>(kShare * static_cast<double>(calls_));
  if (retries_ >= std::max(kAlways, allowed)) return false;
  second.retries += 1;
  retries_ += 1;
  return true;
}

}  // namespace slipway::gateway
