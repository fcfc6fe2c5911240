#ifndef SLIPWAY_SERVICES_INFERENCE_MODEL_METRICS_H_
#define SLIPWAY_SERVICES_INFERENCE_MODEL_METRICS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"

namespace slipway::worker {

/// What is measured of one version of one deployment:
///
///   slipway_worker_model_requests_total    calls that ran or could not
///   slipway_worker_model_failures_total    those that did not answer
///   slipway_worker_model_queue_seconds     from admission until a slot was free
///   slipway_worker_model_infer_seconds     in the model
///   slipway_worker_model_loaded_bytes      what its weights take; 0 once it is unloaded
///
/// Any thread.
class ModelMetrics {
 public:
  ModelMetrics(Metrics& metrics, const std::string& deployment, const std::string& version);

  void RecordAnswer(absl::Duration queued, absl::Duration ran) const;
  void RecordFailure() const;
  void SetLoadedBytes(int64_t bytes) const;

 private:
  prometheus::Counter& requests_;
  prometheus::Counter& failures_;
  prometheus::Histogram& queue_seconds_;
  prometheus::Histogram& infer_seconds_;
  prometheus::Gauge& loaded_bytes_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_MODEL_METRICS_H_
