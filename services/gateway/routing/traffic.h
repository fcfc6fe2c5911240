#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/metrics/latency_histogram.h"
#include "common/sync/mutex.h"
#include "google/protobuf/repeated_field.h"
#include "services/gateway/gateway_metrics.h"
#include "slipway/controller/v1/controller.pb.h"

namespace slipway::gateway {

/// A LatencyHistogram that any thread may add to, and that is emptied into a report.
class LatencyCounts {
 public:
  using Buckets = google::protobuf::RepeatedField<int64_t>;

  void Add(absl::Duration took) {
    buckets_[LatencyHistogram::BucketOf(took)].fetch_add(1, std::memory_order_relaxed);
  }
  /// False where there was none.
  bool Take(Buckets& out);
  void Return(const Buckets& taken);

 private:
  std::array<std::atomic<int64_t>, LatencyHistogram::kBuckets> buckets_ = {};
};

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
  LatencyCounts answered_;
};

/// What became of the copies of one endpoint's calls, for its owner. Any thread.
class ShadowTally {
 public:
  explicit ShadowTally(const ShadowMetrics& metrics) : metrics_(metrics) {}

  enum class Outcome { kAgreed, kDiffered, kFailed };
  void Add(Outcome outcome, absl::Duration original, absl::Duration shadow);
  void Skip();

  /// As of TrafficCounter.
  bool Take(controller::v1::ReportTrafficRequest::Shadow& out);
  void Return(const controller::v1::ReportTrafficRequest::Shadow& taken);

 private:
  const ShadowMetrics metrics_;
  std::atomic<int64_t> agreed_ = 0;
  std::atomic<int64_t> differed_ = 0;
  std::atomic<int64_t> failed_ = 0;
  std::atomic<int64_t> skipped_ = 0;
  LatencyCounts latency_;
  LatencyCounts original_latency_;
};

/// The counters of all versions that are routed, and the tallies of all shadows. Any thread.
class TrafficBook {
 public:
  /// The counter of a version behind an endpoint, by their full names. The same one for as long as
  /// somebody holds it.
  std::shared_ptr<TrafficCounter> For(const std::string& deployment,
                                      const std::string& model_version);

  /// The tally of an endpoint's shadow, likewise; `metrics` makes it where there is none.
  std::shared_ptr<ShadowTally> ShadowOf(const std::string& deployment,
                                        absl::FunctionRef<ShadowMetrics()> metrics);

  /// All that was counted since it was last taken.
  controller::v1::ReportTrafficRequest Take();

  /// Puts back what could not be told.
  void Return(const controller::v1::ReportTrafficRequest& taken);

 private:
  using Key = std::pair<std::string, std::string>;
  Mutex mutex_;
  std::map<Key, std::shared_ptr<TrafficCounter>> counters_ GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<ShadowTally>> shadows_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_H_
