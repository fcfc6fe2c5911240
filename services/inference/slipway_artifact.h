#ifndef SLIPWAY_SERVICES_INFERENCE_SLIPWAY_ARTIFACT_H_
#define SLIPWAY_SERVICES_INFERENCE_SLIPWAY_ARTIFACT_H_

#include "common/nn/model_description.h"
#include "common/nn/network.h"
#include "common/tensor/safetensors.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// The description in an artifact of our own format. Errors: kInvalidArgument that names the file
/// and what is wrong with it.
absl::StatusOr<nn::ModelDescription> ReadDescription(const ModelSource& source);

/// An artifact of our own format, read: what a runtime makes a model of. A value.
struct SlipwayArtifact {
  nn::Network network;
  /// Mapped from the file, not copied.
  SafetensorsFile weights;
  Signature signature;

  /// Errors: kInvalidArgument that names the file and what is wrong with it.
  static absl::StatusOr<SlipwayArtifact> Open(const ModelSource& source);
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_SLIPWAY_ARTIFACT_H_
