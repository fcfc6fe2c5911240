#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_LEASE_KEEPER_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_LEASE_KEEPER_H_

#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/gateway/limits/admission.h"
#include "services/gateway/limits/lease_store.h"

namespace slipway::gateway {

/// Keeps an Admission in step with the database, by a thread of its own: looks for what has changed
/// there, reports what was used and takes leases, every quarter of a second, and hungry limits'
/// sooner. Any thread may call.
class LeaseKeeper {
 public:
  /// All outlive the keeper.
  LeaseKeeper(LeaseStore& store, Admission& admission, Metrics& metrics, const Clock& clock);
  /// Reports what was used, and gives all leases back.
  ~LeaseKeeper();

  /// Brings the admission up to what the database holds now. Once before Start().
  absl::Status Refresh();

  void Start();

 private:
  void Run();
  absl::Status Step(bool hungry_only);
  absl::Status Exchange(std::vector<Account::Pending> pending);

  LeaseStore& store_;
  Admission& admission_;
  const Clock& clock_;
  const std::string replica_;
  prometheus::Gauge& replicas_gauge_;
  prometheus::Counter& failures_;

  Mutex look_mutex_;  // one at a time, so that an older look never overtakes a newer one
  LimitsCursor cursor_ GUARDED_BY(look_mutex_);
  absl::Duration registered_ GUARDED_BY(look_mutex_) = -absl::InfiniteDuration();
  int replicas_ GUARDED_BY(look_mutex_) = 1;

  Mutex wait_mutex_;
  CondVar wake_;
  bool hungry_ GUARDED_BY(wait_mutex_) = false;
  bool stopping_ GUARDED_BY(wait_mutex_) = false;
  std::jthread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_LEASE_KEEPER_H_
