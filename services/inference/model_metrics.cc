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
          "model_queue_seconds", "Time that a call waited until it ran", Metrics::LatencyBuckets(),
          {{"deployment", deployment}, {"model_version", version}})),
      infer_seconds_(metrics.Histogram("model_infer_seconds", "Time of a call in the model",
                                       Metrics::LatencyBuckets(),
                                       {{"deployment", deployment}, {"model_version", version}})),
      loaded_bytes_(metrics.Gauge("model_loaded_bytes", "Memory of a model's weights",
                                  {{"deployment", deployment}, {"model_version", version}})),
      reloads_(metrics.Counter("model_reloads_total",
                               "Loads of a model that had left memory, for a call",
                               {{"deployment", deployment}, {"model_version", version}})),
      cache_hits_(metrics.Counter("model_cache_hits_total", "Calls that a cache answered",
                                  {{"deployment", deployment}, {"model_version", version}})),
      cache_misses_(metrics.Counter("model_cache_misses_total",
                                    "Calls that a cache was asked for in vain",
                                    {{"deployment", deployment}, {"model_version", version}})),
      sequences_(metrics.Gauge("model_sequences", "Sequences whose states a model keeps",
                               {{"deployment", deployment}, {"model_version", version}})) {}

void ModelMetrics::RecordRun(int64_t rows, const RunTimes& times) const {
  MutexLock lock(totals_->mutex);
  ++totals_->statistics.execution_count;
  ModelStatistics::Batch& batch = totals_->statistics.batches[rows];
  batch.compute_input.Add(times.input);
  batch.compute_infer.Add(times.infer);
  batch.compute_output.Add(times.output);
}

void ModelMetrics::RecordAnswer(int64_t rows, const CallTimes& times, absl::Time now) const {
  requests_.Increment();
  queue_seconds_.Observe(absl::ToDoubleSeconds(times.queue));
  infer_seconds_.Observe(absl::ToDoubleSeconds(times.infer));
  MutexLock lock(totals_->mutex);
  ModelStatistics& statistics = totals_->statistics;
  statistics.last_inference = now;
  statistics.inference_count += rows;
  statistics.success.Add(times.total());
  statistics.queue.Add(times.queue);
  statistics.compute_input.Add(times.input);
  statistics.compute_infer.Add(times.infer);
  statistics.compute_output.Add(times.output);
}

void ModelMetrics::RecordCacheHit(absl::Duration took, absl::Duration since_asked) const {
  requests_.Increment();
  cache_hits_.Increment();
  MutexLock lock(totals_->mutex);
  ModelStatistics& statistics = totals_->statistics;
  statistics.success.Add(took);
  statistics.queue.Add(absl::ZeroDuration());
  statistics.cache_hit.Add(since_asked);
}

void ModelMetrics::RecordCacheMiss(absl::Duration took) const {
  cache_misses_.Increment();
  MutexLock lock(totals_->mutex);
  totals_->statistics.cache_miss.Add(took);
}

void ModelMetrics::RecordFailure(absl::Duration took) const {
  requests_.Increment();
  failures_.Increment();
  MutexLock lock(totals_->mutex);
  totals_->statistics.fail.Add(took);
}

ModelStatistics ModelMetrics::Statistics() const {
  MutexLock lock(totals_->mutex);
  return totals_->statistics;
}

void ModelMetrics::SetLoadedBytes(int64_t bytes) const {
  loaded_bytes_.Set(static_cast<double>(bytes));
}

void ModelMetrics::SetSequences(size_t count) const { sequences_.Set(static_cast<double>(count)); }

int64_t ModelMetrics::LoadedBytes() const { return static_cast<int64_t>(loaded_bytes_.Value()); }

void ModelMetrics::CountReload() const { reloads_.Increment(); }

}  // namespace slipway::worker
