#include "services/gateway/routing/endpoint_state.h"

#include <algorithm>

#include "prometheus/counter.h"

namespace slipway::gateway {

std::vector<EndpointState::Member> EndpointState::SetWorkers(
    const std::vector<std::shared_ptr<Worker>>& workers) {
  MutexLock lock(mutex_);
  limit_.SetWorkers(static_cast<int>(workers.size()));
  return outliers_.SetWorkers(workers);
}

absl::StatusOr<EndpointState::Entry> EndpointState::Enter(absl::Duration now, absl::Duration left,
                                                          bool less_urgent) {
  {
    MutexLock lock(mutex_);
    if (limit_.Expected(now) <= left) {
      if (const auto entry = limit_.Enter(now, less_urgent)) {
        retries_.OnCall(now);
        return *entry;
      }
    } else {
      metrics_.too_late.Increment();
      return absl::UnavailableError("calls take longer now than this one can wait; try again");
    }
  }
  metrics_.saturated.Increment();
  return absl::UnavailableError("the model takes no more calls at once; try again");
}

bool EndpointState::EnterBackground(absl::Duration now, Entry& entry) {
  MutexLock lock(mutex_);
  const auto entered = limit_.Enter(now, /*background=*/true);
  if (entered) entry = *entered;
  return entered.has_value();
}

void EndpointState::Leave(const Entry& entry, End end, absl::Duration now) {
  MutexLock lock(mutex_);
  limit_.Leave(entry, end, now);
}

bool EndpointState::TryRetry(absl::Duration now) {
  bool may = false;
  {
    MutexLock lock(mutex_);
    may = retries_.TryRetry(now);
  }
  (may ? metrics_.retried : metrics_.retry_refused).Increment();
  return may;
}

void EndpointState::CountFallback() { metrics_.fallbacks.Increment(); }

void EndpointState::Record(RoutedWorker& worker, Outliers::Result result, absl::Duration now) {
  bool ejected = false;
  {
    MutexLock lock(mutex_);
    ejected = outliers_.Record(worker, result, now);
  }
  if (ejected) metrics_.ejections.Increment();
}

EndpointState::Member EndpointState::DueForProbe(const std::vector<Member>& workers,
                                                 absl::Duration now) {
  if (std::ranges::none_of(workers, [](const Member& worker) { return worker->ejected(); })) {
    return nullptr;
  }
  MutexLock lock(mutex_);
  return outliers_.DueForProbe(workers, now);
}

void EndpointState::RecordProbe(RoutedWorker& worker, bool answered, absl::Duration now) {
  MutexLock lock(mutex_);
  outliers_.RecordProbe(worker, answered, now);
}

}  // namespace slipway::gateway
