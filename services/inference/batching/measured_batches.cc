#include "services/inference/batching/measured_batches.h"

#include <algorithm>

#include "services/inference/batching/batch_tensors.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

constexpr int64_t kMostRows = 64;
constexpr absl::Duration kShortRun = absl::Milliseconds(5);
// Of so many runs the quickest counts: the machine may be busy.
constexpr int kTries = 5;
// What counts as "about as little".
constexpr double kMargin = 1.05;

}  // namespace

absl::StatusOr<MeasuredBatches> MeasureBatches(const LoadedModel& model, const Clock& clock) {
  MeasuredBatches measured;
  if (!TakesBatches(model.signature())) return measured;
  ASSIGN_OR_RETURN(const TensorBatch row, ZeroInputs(model.signature()));
  double least = 0;
  for (int64_t rows = 1; rows <= kMostRows; rows *= 2) {
    const std::vector<const TensorBatch*> calls(static_cast<size_t>(rows), &row);
    ASSIGN_OR_RETURN(const TensorBatch inputs, Gather(calls));
    absl::Duration quickest = absl::InfiniteDuration();
    for (int i = 0; i < kTries && (i == 0 || quickest < kShortRun); ++i) {
      const absl::Duration start = clock.Monotonic();
      RETURN_IF_ERROR(model.Run(inputs, absl::InfiniteFuture()).status());
      quickest = std::min(quickest, clock.Monotonic() - start);
    }
    measured.runs.push_back({rows, quickest});
    if (quickest > kShortRun) break;
    const double each = absl::ToDoubleMicroseconds(quickest) / static_cast<double>(rows);
    if (rows > 1 && each > least * kMargin) break;
    least = rows == 1 ? each : std::min(least, each);
    measured.best_rows = rows;
  }
  return measured;
}

}  // namespace slipway::worker
