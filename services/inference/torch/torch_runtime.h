#ifndef SLIPWAY_SERVICES_INFERENCE_TORCH_TORCH_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_TORCH_TORCH_RUNTIME_H_

#include <memory>
#include <string>

#include "services/inference/model_runtime.h"

namespace slipway::worker {

struct TorchOptions {
  /// "cpu", "cuda" or "cuda:1".
  std::string device = "cpu";
  /// Threads of one operator. With more than one, LibTorch keeps a pool for each thread that
  /// calls it.
  int threads = 1;
};

/// Our own architectures by LibTorch: artifacts of format "slipway" (architecture.json and
/// model.safetensors). One a process, since LibTorch's thread settings are the process's.
/// Errors: kFailedPrecondition where the device is not there.
absl::StatusOr<std::unique_ptr<ModelRuntime>> MakeTorchRuntime(const TorchOptions& options);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_TORCH_TORCH_RUNTIME_H_
