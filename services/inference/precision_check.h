#ifndef SLIPWAY_SERVICES_INFERENCE_PRECISION_CHECK_H_
#define SLIPWAY_SERVICES_INFERENCE_PRECISION_CHECK_H_

#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// The recorded inputs of a version, in the order of its signature. Errors: kFailedPrecondition
/// where it has none; kInvalidArgument that names the file where they do not fit the signature.
absl::StatusOr<TensorBatch> ReadSamples(const ModelSource& source, const Signature& signature);

/// Runs both models on the samples and compares their outputs of FP32. A sample's label is the
/// place of the largest number in its row of an output. Errors: those of Run();
/// kFailedPrecondition where an output of `candidate` is not finite and the `reference`'s is.
absl::StatusOr<PrecisionCheck> ComparePrecision(const LoadedModel& reference,
                                                const LoadedModel& candidate,
                                                const TensorBatch& samples);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_PRECISION_CHECK_H_
