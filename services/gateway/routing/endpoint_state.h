#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_ENDPOINT_STATE_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_ENDPOINT_STATE_H_

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/routing/concurrency_limit.h"
#include "services/gateway/routing/outliers.h"
#include "services/gateway/routing/retry_budget.h"

namespace slipway::gateway {

/// What a gateway has learned of an endpoint from its calls, and decides by: how many may be under
/// way, which workers are set aside, whether one may be tried again. It goes from one route table
/// to the next. Times are Clock::Monotonic. Any thread; a call takes its lock a few times, for less
/// than a microsecond.
class EndpointState {
 public:
  using Entry = ConcurrencyLimit::Entry;
  using End = ConcurrencyLimit::End;
  using Member = Outliers::Member;

  explicit EndpointState(const RoutingMetrics& metrics) : metrics_(metrics) {}

  /// Each once. Returns them as this endpoint's, in the same order.
  std::vector<Member> SetWorkers(const std::vector<std::shared_ptr<Worker>>& workers);

  /// Lets a call in that has so much time left, until Leave(). kUnavailable, at once, where too
  /// many are under way or none that is let in now would be answered in time. One that is less
  /// urgent has half of the room.
  absl::StatusOr<Entry> Enter(absl::Duration now, absl::Duration left, bool less_urgent);
  /// As Enter, for calls that nobody waits for: as long as there is much room.
  bool EnterBackground(absl::Duration now, Entry& entry);
  void Leave(const Entry& entry, End end, absl::Duration now);

  /// May one more call be made a second time?
  bool TryRetry(absl::Duration now);

  /// How a call of one of the endpoint's workers ended.
  void Record(RoutedWorker& worker, Outliers::Result result, absl::Duration now);
  /// See Outliers.
  Member DueForProbe(const std::vector<Member>& workers, absl::Duration now);
  void RecordProbe(RoutedWorker& worker, bool answered, absl::Duration now);

  void CountFallback();

 private:
  const RoutingMetrics metrics_;
  Mutex mutex_;
  ConcurrencyLimit limit_ GUARDED_BY(mutex_);
  RetryBudget retries_ GUARDED_BY(mutex_);
  Outliers outliers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_ENDPOINT_STATE_H_
