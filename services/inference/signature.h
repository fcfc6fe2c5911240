#ifndef SLIPWAY_SERVICES_INFERENCE_SIGNATURE_H_
#define SLIPWAY_SERVICES_INFERENCE_SIGNATURE_H_

#include <string_view>

#include "common/status/status.h"
#include "services/inference/model_runtime.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::worker {

/// Errors: InvalidField below `field` (an unknown datatype, a shape that cannot be).
absl::StatusOr<Signature> ParseSignature(const slipway::registry::v1::Signature& signature,
                                         std::string_view field);

/// OK where the model's own signature is the one that was registered; one that was registered
/// empty says nothing. Errors: kInvalidArgument that names the first tensor that differs.
absl::Status CheckSameSignature(const Signature& registered, const Signature& actual);

/// True where dimension 0 of every input and output is free: rows of different calls may run
/// together then.
bool TakesBatches(const Signature& signature);

/// Tensors of zeros (empty texts) that fit the signature, free dimensions as 1. Errors:
/// kInvalidArgument where a shape cannot be.
absl::StatusOr<TensorBatch> ZeroInputs(const Signature& signature);

/// OK where a run's outputs are what the signature says. Errors: kInternal: the model is broken.
absl::Status CheckOutputs(const Signature& signature, const TensorBatch& outputs);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_SIGNATURE_H_
