#include "services/inference/model_metrics.h"

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"

namespace slipway::worker {

ModelMetrics::ModelMetrics(Metrics& metrics, const std::string& deployment,
                           const std::string& version)
    : requests_(metrics.Counter("model_requests_total", "Inference calls of a model",
                                {{"deployment", deployment}, {"model_version", version}})),
      failures_(metrics.Counter("model_failures_total", "Inference calls that were not answered",
                                {{"deployment", deployment}, {"model_version", version}})),
      queue_seconds_(metrics.Histogram(
          "model_queue_seconds", "Time from a call's admission until it ran",
          Metrics::LatencyBuckets(), {{"deployment", deployment}, {"model_version", version}})),
      infer_seconds_(metrics.Histogram("model_infer_seconds", "Time of a call in the model",
                                       Metrics::LatencyBuckets(),
                                       {{"deployment", deployment}, {"model_version", version}})),
      loaded_bytes_(metrics.Gauge("model_loaded_bytes", "Memory of a model's weights",
                                  {{"deployment", deployment}, {"model_version", version}})) {}

void ModelMetrics::RecordAnswer(absl::Duration queued, absl::Duration ran) const {
  requests_.Increment();
  queue_seconds_.Observe(absl::ToDoubleSeconds(queued));
  infer_seconds_.Observe(absl::ToDoubleSeconds(ran));
}

void ModelMetrics::RecordFailure() const {
  requests_.Increment();
  failures_.Increment();
}

void ModelMetrics::SetLoadedBytes(int64_t bytes) const {
  loaded_bytes_.Set(static_cast<double>(bytes));
}

}  // namespace slipway::worker
