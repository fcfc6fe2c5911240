#ifndef SLIPWAY_SERVICES_INFERENCE_INFER_CODEC_H_
#define SLIPWAY_SERVICES_INFERENCE_INFER_CODEC_H_

#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "inference/open_inference.pb.h"
#include "services/inference/loaded_models.h"
#include "services/inference/model_runtime.h"

// The Open Inference Protocol's messages, to and from tensors. Nothing of a request is believed:
// each error is an InvalidField that names the tensor ("inputs.pixels.shape: ..."), and nothing
// is allocated that is larger than what has arrived.
namespace slipway::worker {

/// The response parameter that says how long the model ran, as int64_param.
inline constexpr char kComputeMicrosParameter[] = "slipway_compute_micros";

/// The request's inputs in the signature's order. Raw contents are borrowed from `request`, which
/// must outlive the result.
absl::StatusOr<TensorBatch> DecodeInputs(const inference::ModelInferRequest& request,
                                         const Signature& signature);

/// Which outputs the caller wants, by place in the signature and in the caller's order; all where
/// it names none.
absl::StatusOr<std::vector<size_t>> SelectOutputs(const inference::ModelInferRequest& request,
                                                  const Signature& signature);

/// Fills the response, outputs as raw contents.
void EncodeResponse(const inference::ModelInferRequest& request, const ServedModel& model,
                    const TensorBatch& outputs, const std::vector<size_t>& selected,
                    absl::Duration compute, inference::ModelInferResponse& response);

/// What ModelMetadata answers.
void EncodeMetadata(const ServedModel& model, inference::ModelMetadataResponse& response);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFER_CODEC_H_
