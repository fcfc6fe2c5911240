#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_MEASURED_BATCHES_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_MEASURED_BATCHES_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// What runs of a model take on this machine, by their rows.
struct MeasuredBatches {
  struct Run {
    int64_t rows = 0;
    absl::Duration took;
  };
  /// By rows, 1 first; none where the model does not take batches.
  std::vector<Run> runs;
  /// The fewest rows that cost about as little a row as any in a run that is short, with what
  /// surrounds a run counted in. 1 where nothing was measured.
  int64_t best_rows = 1;
};

/// Runs `model` on zeros in batches of 1, 2, 4, ... 64 rows, which warms it up as well, until a run
/// is no longer short (5 ms). Errors: the model's.
absl::StatusOr<MeasuredBatches> MeasureBatches(const LoadedModel& model, const Clock& clock);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_MEASURED_BATCHES_H_
