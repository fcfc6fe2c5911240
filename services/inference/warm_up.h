#ifndef SLIPWAY_SERVICES_INFERENCE_WARM_UP_H_
#define SLIPWAY_SERVICES_INFERENCE_WARM_UP_H_

#include "common/status/status.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// How often a model runs before it answers calls: first runs are slower.
inline constexpr int kWarmUpRuns = 3;

/// Runs the model on recorded inputs where its version has some, else on zeros, and checks what
/// comes out. Errors: those of Run(), ReadSamples() and CheckOutputs().
absl::Status WarmUp(const LoadedModel& model, const ModelSource& source);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_WARM_UP_H_
