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
constexpr double kMargin = 1.03;
// What a run costs beside the model's own time and what each call does: threads and callers are
// woken, and the model comes back to cold memory (batching_bench, 64 callers, batches of 4 to 32).
constexpr absl::Duration kAroundARun = absl::Microseconds(125);

double CostOfARow(const MeasuredBatches::Run& run) {
  return absl::ToDoubleMicroseconds(run.took + kAroundARun) / static_cast<double>(run.rows);
}

}  // namespace

absl::StatusOr<MeasuredBatches> MeasureBatches(const LoadedModel& model, const Clock& clock) {
  MeasuredBatches measured;
  if (!TakesBatches(model.signature())) return measured;
  ASSIGN_OR_RETURN(const TensorBatch row, ZeroInputs(model.signature()));
  double least = 0;  // of a row, in microseconds
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
    least = rows == 1 ? CostOfARow(measured.runs[0])
                      : std::min(least, CostOfARow(measured.runs.back()));
  }
  // Only now: a size that was measured while the machine was busy says nothing of the larger ones.
  for (const MeasuredBatches::Run& run : measured.runs) {
    if (run.took > kShortRun || CostOfARow(run) > least * kMargin) continue;
    measured.best_rows = run.rows;
    break;
  }
  return measured;
}

}  // namespace slipway::worker
