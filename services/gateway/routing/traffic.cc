#include "services/gateway/routing/traffic.h"

namespace slipway::gateway {

void TrafficCounter::Add(bool answered, absl::Duration took) {
  std::atomic<int64_t>& counter = answered ? answered_[LatencyHistogram::BucketOf(took)] : errors_;
  counter.fetch_add(1, std::memory_order_relaxed);
}

bool TrafficCounter::Take(controller::v1::ReportTrafficRequest::Traffic& out) {
  out.set_errors(errors_.exchange(0, std::memory_order_relaxed));
  bool any = out.errors() > 0;
  for (std::atomic<int64_t>& bucket : answered_) {
    out.add_latency(bucket.exchange(0, std::memory_order_relaxed));
    any = any || *out.latency().rbegin() > 0;
  }
  return any;
}

void TrafficCounter::Return(const controller::v1::ReportTrafficRequest::Traffic& taken) {
  errors_.fetch_add(taken.errors(), std::memory_order_relaxed);
  for (int i = 0; i < taken.latency_size(); ++i) {
    answered_[static_cast<size_t>(i)].fetch_add(taken.latency(i), std::memory_order_relaxed);
  }
}

std::shared_ptr<TrafficCounter> TrafficBook::For(const std::string& deployment,
                                                 const std::string& model_version) {
  MutexLock lock(mutex_);
  std::shared_ptr<TrafficCounter>& counter = counters_[{deployment, model_version}];
  if (counter == nullptr) counter = std::make_shared<TrafficCounter>();
  return counter;
}

controller::v1::ReportTrafficRequest TrafficBook::Take() {
  controller::v1::ReportTrafficRequest taken;
  MutexLock lock(mutex_);
  for (auto entry = counters_.begin(); entry != counters_.end();) {
    // Nobody else can come to hold it meanwhile: For() needs the lock.
    const bool last = entry->second.use_count() == 1;
    controller::v1::ReportTrafficRequest::Traffic traffic;
    if (entry->second->Take(traffic)) {
      traffic.set_deployment(entry->first.first);
      traffic.set_model_version(entry->first.second);
      *taken.add_traffic() = std::move(traffic);
    }
    entry = last ? counters_.erase(entry) : std::next(entry);
  }
  return taken;
}

void TrafficBook::Return(const controller::v1::ReportTrafficRequest& taken) {
  for (const auto& traffic : taken.traffic()) {
    For(traffic.deployment(), traffic.model_version())->Return(traffic);
  }
}

}  // namespace slipway::gateway
