#include "services/inference/batching/measured_batches.h"

#include <algorithm>

#include "services/inference/batching/batch_tensors.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

constexpr int64_t kMostRows = 128;
constexpr absl::Duration kLongestRun = absl::Milliseconds(100);
// Of so many runs the quickest counts: the machine may be busy.
constexpr int kTries = 5;
// A size must be this much better than the best so far to be worth its longer runs.
constexpr double kGain = 0.95;

}  // namespace

absl::StatusOr<MeasuredBatches> MeasureBatches(const LoadedModel& model, const Clock& clock) {
  MeasuredBatches measured;
  if (!TakesBatches(model.signature())) return measured;
  ASSIGN_OR_RETURN(const TensorBatch row, ZeroInputs(model.signature()));
  double best = 0;
  for (int64_t rows = 1; rows <= kMostRows; rows *= 2) {
    const std::vector<const TensorBatch*> calls(static_cast<size_t>(rows), &row);
    ASSIGN_OR_RETURN(const TensorBatch inputs, Gather(calls));
    absl::Duration quickest = absl::InfiniteDuration();
    for (int i = 0; i < kTries && (i == 0 || quickest < kLongestRun / kTries); ++i) {
      const absl::Duration start = clock.Monotonic();
      RETURN_IF_ERROR(model.Run(inputs, absl::InfiniteFuture()).status());
      quickest = std::min(quickest, clock.Monotonic() - start);
    }
    measured.runs.push_back({rows, quickest});
    const double each = absl::ToDoubleMicroseconds(quickest) / static_cast<double>(rows);
    if (rows == 1 || each < best * kGain) {
      best = each;
      measured.best_rows = rows;
    }
    // Twice as many that were no better: four times as many will not be either.
    if (rows >= 4 * measured.best_rows || quickest > kLongestRun) break;
  }
  return measured;
}

}  // namespace slipway::worker
