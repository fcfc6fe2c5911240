#ifndef SLIPWAY_SERVICES_INFERENCE_PARALLELISM_H_
#define SLIPWAY_SERVICES_INFERENCE_PARALLELISM_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// How a worker uses its cores: so many runs at once, each on so many threads.
struct Parallelism {
  int instances = 1;
  int threads = 1;
  bool operator==(const Parallelism&) const = default;
};

/// What each use of this machine's cores was measured to answer.
struct MeasuredParallelism {
  struct Candidate {
    Parallelism parallelism;
    double rows_a_second = 0;
  };
  std::vector<Candidate> candidates;
  /// The fewest threads a run that answer about as many rows as any.
  Parallelism best;
};

/// A runtime that uses the cores so.
using RuntimeFor =
    std::function<absl::StatusOr<std::unique_ptr<ModelRuntime>>(const Parallelism& parallelism)>;

/// Runs a small convolutional network on 1, 2, 4, ... threads, so many instances at once as there
/// are cores for, for a tenth of a second each. Its files are written to `folder`, which several
/// processes may share. Errors: the runtime's; StorageFull.
absl::StatusOr<MeasuredParallelism> MeasureParallelism(int cores, const RuntimeFor& runtime_for,
                                                       const std::string& folder,
                                                       const Clock& clock);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_PARALLELISM_H_
