#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/metrics/latency_histogram.h"
#include "common/sync/mutex.h"
#include "slipway/controller/v1/controller.pb.h"

namespace slipway::gateway {

/// Calls of one version behind one endpoint, for those who judge a rollout. Any thread.
class TrafficCounter {
 public:
  /// A call that was sent to the version and has ended, with a result or without. One whose caller
  /// left says nothing of the version, and is not to be counted.
  void Add(bool answered, absl::Duration took);

  /// Moves all that was counted into `out`; false where that is nothing.
  bool Take(controller::v1::ReportTrafficRequest::Traffic& out);

  /// Puts back what was taken.
  void Return(const controller::v1::ReportTrafficRequest::Traffic& taken);

 private:
  std::atomic<int64_t> errors_ = 0;
  std::array<std::atomic<int64_t>, LatencyHistogram::kBuckets> answered_ = {};
};

/// The counters of all versions that are routed. Any thread.
class TrafficBook {
 public:
  /// The counter of a version behind an endpoint, by their full names. The same one for as long as
  /// somebody holds it.
  std::shared_ptr<TrafficCounter> For(const std::string& deployment,
                                      const std::string& model_version);

  /// All that was counted since it was last taken.
  controller::v1::ReportTrafficRequest Take();

  /// Puts back what could not be told.
  void Return(const controller::v1::ReportTrafficRequest& taken);

 private:
  using Key = std::pair<std::string, std::string>;
  Mutex mutex_;
  std::map<Key, std::shared_ptr<TrafficCounter>> counters_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_H_
