#ifndef SLIPWAY_SERVICES_INFERENCE_MODEL_METRICS_H_
#define SLIPWAY_SERVICES_INFERENCE_MODEL_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/sync/mutex.h"
#include "services/inference/batching/batch_call.h"
#include "services/inference/model_statistics.h"

namespace slipway::worker {

/// Where the time of one answered call went.
struct CallTimes {
  absl::Duration input;   ///< to check its tensors, and to gather its batch's
  absl::Duration queue;   ///< between the two
  absl::Duration infer;   ///< its batch's, in the model
  absl::Duration output;  ///< from then until the answer was written
  absl::Duration total() const { return input + queue + infer + output; }
};

/// What is measured of one version of one deployment:
///
///   slipway_worker_model_requests_total    calls that ran or could not
///   slipway_worker_model_failures_total    those that did not answer
///   slipway_worker_model_queue_seconds     from the check of its tensors until a slot was free
///   slipway_worker_model_infer_seconds     in the model
///   slipway_worker_model_loaded_bytes      what its weights take; 0 while it is not in memory
///   slipway_worker_model_reloads_total     how often a call had to bring it back there
///   slipway_worker_model_cache_hits_total, _misses_total   calls that its cache could, could not
///   answer
///   slipway_worker_model_sequences         those whose states it keeps
///
/// and the same again as statistics, in the form that the protocol's clients ask for. Any thread.
class ModelMetrics {
 public:
  ModelMetrics(Metrics& metrics, const std::string& deployment, const std::string& version);

  /// A run of the model, for whichever calls.
  void RecordRun(int64_t rows, const RunTimes& times) const;
  void RecordAnswer(int64_t rows, const CallTimes& times, absl::Time now) const;
  /// A cache answered the call, `took` after its admission; it was asked `since_asked` before.
  void RecordCacheHit(absl::Duration took, absl::Duration since_asked) const;
  /// It did not: what it took to ask, and to keep the answer.
  void RecordCacheMiss(absl::Duration took) const;
  /// `took`: since its admission.
  void RecordFailure(absl::Duration took) const;
  void SetLoadedBytes(int64_t bytes) const;
  void SetSequences(size_t count) const;
  int64_t LoadedBytes() const;
  /// It had left memory, and a call has brought it back.
  void CountReload() const;

  ModelStatistics Statistics() const;

 private:
  struct Totals {
    Mutex mutex;
    ModelStatistics statistics GUARDED_BY(mutex);
  };
  prometheus::Counter& requests_;
  prometheus::Counter& failures_;
  prometheus::Histogram& queue_seconds_;
  prometheus::Histogram& infer_seconds_;
  prometheus::Gauge& loaded_bytes_;
  prometheus::Counter& reloads_;
  prometheus::Counter& cache_hits_;
  prometheus::Counter& cache_misses_;
  prometheus::Gauge& sequences_;
  std::unique_ptr<Totals> totals_ = std::make_unique<Totals>();
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_MODEL_METRICS_H_
