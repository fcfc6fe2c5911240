#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_CALL_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_CALL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/tracing/tracer.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// How long the parts of a run took: to gather its calls' inputs, in the model, to hand the outputs
/// out.
struct RunTimes {
  absl::Duration input;
  absl::Duration infer;
  absl::Duration output;
  absl::Duration total() const { return input + infer + output; }
};

/// What a call gets that has run.
struct CallAnswer {
  TensorBatch outputs;
  /// From its arrival until it was started.
  absl::Duration queued;
  /// Of its whole batch.
  RunTimes times;
  /// Its share of the batch's time in the model.
  absl::Duration compute;
};

/// One call on its way through the scheduler, which owns it from Batcher::Submit until it has
/// called Finish, once.
class BatchCall {
 public:
  virtual ~BatchCall() = default;

  /// True once nobody waits for the answer. Quick; called under the scheduler's lock.
  virtual bool Abandoned() const = 0;

  /// They fit the model's signature and live until Finish.
  virtual const TensorBatch& inputs() const = 0;

  /// A run of so many rows has ended, well or not: one call of each batch is told.
  virtual void ReportRun(int64_t rows, const RunTimes& times) = 0;

  /// Any thread, under no lock. Errors: those of LoadedModel::Run; kUnavailable (no room, or no
  /// chance to be in time), kDeadlineExceeded, kCancelled.
  virtual void Finish(absl::StatusOr<CallAnswer> answer) = 0;

  /// An index into BatchPolicy::queues; one beyond its end is the last.
  int priority = 0;
  /// By the scheduler's monotonic clock, as all times here.
  absl::Duration arrived;
  absl::Duration deadline = absl::InfiniteDuration();
  /// Its step of a trace that is recorded; null where none is.
  tracing::Span* span = nullptr;

  // ---- Filled in by ModelQueue. ----
  int64_t rows = 1;
  /// The dimensions that calls of one batch have in common, where the signature leaves them free.
  std::vector<int64_t> shape;
  /// In each dimension that is padded: its own length, and the one that it runs at when alone.
  /// Empty where nothing is padded.
  std::vector<int64_t> lengths;
  std::vector<int64_t> padded;
  /// What a run of it alone is expected to cost: its rows, times the positions of each.
  double work = 1;
  /// Runs alone.
  bool single = false;
};

using BatchCallPtr = std::unique_ptr<BatchCall>;

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_CALL_H_
