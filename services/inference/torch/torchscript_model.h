#ifndef SLIPWAY_SERVICES_INFERENCE_TORCH_TORCHSCRIPT_MODEL_H_
#define SLIPWAY_SERVICES_INFERENCE_TORCH_TORCHSCRIPT_MODEL_H_

#include <memory>
#include <string>

#include "services/inference/model_runtime.h"
#include "services/inference/torch/torch_runtime.h"

namespace slipway::worker {

/// A method of a TorchScript module: artifacts of format "torchscript" (model.pt). The file is
/// code, and so is loaded only where the digest of the very bytes that are loaded is allowed; it is
/// frozen and optimised for inference. Loading and every run happen on threads that are watched:
/// where one takes longer than it may, whoever waits for it and all later calls are told so
/// (kDeadlineExceeded), and `options.on_hang` is called once, which ends the process.
/// Errors: as ModelRuntime::Load; kFailedPrecondition where the digest is not allowed.
absl::StatusOr<std::shared_ptr<const LoadedModel>> LoadTorchScript(
    const ModelSource& source, const std::string& device, const TorchScriptOptions& options);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_TORCH_TORCHSCRIPT_MODEL_H_
