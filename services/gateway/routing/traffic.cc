#include "services/gateway/routing/traffic.h"

#include "prometheus/counter.h"
#include "prometheus/histogram.h"

namespace slipway::gateway {
namespace {

constexpr std::memory_order kRelaxed = std::memory_order_relaxed;

// Takes what somebody other than the book holds no more out of it, once it was reported.
template <class Counters, class Report>
void TakeAll(Counters& counters, const Report& report) {
  for (auto entry = counters.begin(); entry != counters.end();) {
    // Nobody else can come to hold it meanwhile: that needs the book's lock.
    const bool last = entry->second.use_count() == 1;
    report(entry->first, *entry->second);
    entry = last ? counters.erase(entry) : std::next(entry);
  }
}

}  // namespace

bool LatencyCounts::Take(Buckets& out) {
  bool any = false;
  for (std::atomic<int64_t>& bucket : buckets_) {
    out.Add(bucket.exchange(0, kRelaxed));
    any = any || *out.rbegin() > 0;
  }
  return any;
}

void LatencyCounts::Return(const Buckets& taken) {
  for (int i = 0; i < taken.size(); ++i) {
    buckets_[static_cast<size_t>(i)].fetch_add(taken[i], kRelaxed);
  }
}

void TrafficCounter::Add(bool answered, absl::Duration took) {
  if (answered) {
    answered_.Add(took);
  } else {
    errors_.fetch_add(1, kRelaxed);
  }
}

bool TrafficCounter::Take(controller::v1::ReportTrafficRequest::Traffic& out) {
  out.set_errors(errors_.exchange(0, kRelaxed));
  return answered_.Take(*out.mutable_latency()) || out.errors() > 0;
}

void TrafficCounter::Return(const controller::v1::ReportTrafficRequest::Traffic& taken) {
  errors_.fetch_add(taken.errors(), kRelaxed);
  answered_.Return(taken.latency());
}

void ShadowTally::Add(Outcome outcome, absl::Duration original, absl::Duration shadow) {
  const auto count = [](std::atomic<int64_t>& counter, prometheus::Counter& metric) {
    counter.fetch_add(1, kRelaxed);
    metric.Increment();
  };
  switch (outcome) {
    case Outcome::kAgreed:
      count(agreed_, metrics_.agreed);
      break;
    case Outcome::kDiffered:
      count(differed_, metrics_.differed);
      break;
    case Outcome::kFailed:
      count(failed_, metrics_.failed);
      break;
  }
  latency_.Add(shadow);
  original_latency_.Add(original);
  metrics_.duration.Observe(absl::ToDoubleSeconds(shadow));
}

void ShadowTally::Skip() {
  skipped_.fetch_add(1, kRelaxed);
  metrics_.skipped.Increment();
}

bool ShadowTally::Take(controller::v1::ReportTrafficRequest::Shadow& out) {
  out.set_agreed(agreed_.exchange(0, kRelaxed));
  out.set_differed(differed_.exchange(0, kRelaxed));
  out.set_failed(failed_.exchange(0, kRelaxed));
  out.set_skipped(skipped_.exchange(0, kRelaxed));
  const bool any = latency_.Take(*out.mutable_latency());
  original_latency_.Take(*out.mutable_original_latency());
  return any || out.skipped() > 0;
}

void ShadowTally::Return(const controller::v1::ReportTrafficRequest::Shadow& taken) {
  agreed_.fetch_add(taken.agreed(), kRelaxed);
  differed_.fetch_add(taken.differed(), kRelaxed);
  failed_.fetch_add(taken.failed(), kRelaxed);
  skipped_.fetch_add(taken.skipped(), kRelaxed);
  latency_.Return(taken.latency());
  original_latency_.Return(taken.original_latency());
}

std::shared_ptr<TrafficCounter> TrafficBook::For(const std::string& deployment,
                                                 const std::string& model_version) {
  MutexLock lock(mutex_);
  std::shared_ptr<TrafficCounter>& counter = counters_[{deployment, model_version}];
  if (counter == nullptr) counter = std::make_shared<TrafficCounter>();
  return counter;
}

std::shared_ptr<ShadowTally> TrafficBook::ShadowOf(const std::string& deployment,
                                                   absl::FunctionRef<ShadowMetrics()> metrics) {
  MutexLock lock(mutex_);
  std::shared_ptr<ShadowTally>& tally = shadows_[deployment];
  if (tally == nullptr) tally = std::make_shared<ShadowTally>(metrics());
  return tally;
}

controller::v1::ReportTrafficRequest TrafficBook::Take() {
  controller::v1::ReportTrafficRequest taken;
  MutexLock lock(mutex_);
  TakeAll(counters_, [&](const Key& key, TrafficCounter& counter) {
    controller::v1::ReportTrafficRequest::Traffic traffic;
    if (!counter.Take(traffic)) return;
    traffic.set_deployment(key.first);
    traffic.set_model_version(key.second);
    *taken.add_traffic() = std::move(traffic);
  });
  TakeAll(shadows_, [&](const std::string& deployment, ShadowTally& tally) {
    controller::v1::ReportTrafficRequest::Shadow shadow;
    if (!tally.Take(shadow)) return;
    shadow.set_deployment(deployment);
    *taken.add_shadows() = std::move(shadow);
  });
  return taken;
}

void TrafficBook::Return(const controller::v1::ReportTrafficRequest& taken) {
  for (const auto& traffic : taken.traffic()) {
    For(traffic.deployment(), traffic.model_version())->Return(traffic);
  }
  MutexLock lock(mutex_);
  for (const auto& shadow : taken.shadows()) {
    // Where the shadow has gone meanwhile nobody asks for its tally any more.
    const auto known = shadows_.find(shadow.deployment());
    if (known != shadows_.end()) known->second->Return(shadow);
  }
}

}  // namespace slipway::gateway
