#ifndef SLIPWAY_SERVICES_INFERENCE_SIGNATURE_H_
#define SLIPWAY_SERVICES_INFERENCE_SIGNATURE_H_

#include "common/signature/signature.h"
#include "common/status/status.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// OK where the model's own tensors are those that were registered; without any, nothing was said.
/// Errors: kInvalidArgument that names the first tensor that differs.
absl::Status CheckSameSignature(const Signature& registered, const Signature& actual);

/// Tensors of zeros (empty texts) that fit the signature, free dimensions as 1. Errors:
/// kInvalidArgument where a shape cannot be.
absl::StatusOr<TensorBatch> ZeroInputs(const Signature& signature);

/// OK where a run's outputs are what the signature says. Errors: kInternal: the model is broken.
absl::Status CheckOutputs(const Signature& signature, const TensorBatch& outputs);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_SIGNATURE_H_
