#ifndef SLIPWAY_SERVICES_INFERENCE_MODEL_CODEC_H_
#define SLIPWAY_SERVICES_INFERENCE_MODEL_CODEC_H_

#include "inference/open_inference.pb.h"
#include "services/inference/loaded_models.h"

// What the Open Inference Protocol tells of models, as its messages. Models are named by their
// deployments.
namespace slipway::worker {

/// What ModelMetadata answers.
void EncodeMetadata(const ServedModel& model, inference::ModelMetadataResponse& response);

/// What ModelConfig answers: Triton's form, whose dimensions leave the batch out where each tensor
/// has a free dimension 0.
void EncodeConfig(const ServedModel& model, inference::ModelConfig& config);

/// What ModelStatistics answers of one model.
void EncodeStatistics(const ServedModel& model, inference::ModelStatistics& statistics);

/// A line of RepositoryIndex.
void EncodeIndex(const ModelReport& report, inference::RepositoryIndexResponse::ModelIndex& index);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_MODEL_CODEC_H_
