#ifndef SLIPWAY_SERVICES_INFERENCE_TORCH_TORCH_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_TORCH_TORCH_RUNTIME_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// How TorchScript is run, which is code.
struct TorchScriptOptions {
  /// Of the files that may be loaded; none: no TorchScript is.
  std::vector<std::string> digests = {};
  absl::Duration max_run = absl::Seconds(10);
  /// A run or a load takes longer than it may, and goes on: the process is to end. Any thread.
  std::function<void()> on_hang = [] {};
};

struct TorchOptions {
  /// "cpu", "cuda" or "cuda:1".
  std::string device = "cpu";
  /// Threads of one operator. With more than one, LibTorch keeps a pool for each thread that
  /// calls it.
  int threads = 1;
  TorchScriptOptions torchscript = {};
};

/// Our own architectures by LibTorch: artifacts of format "slipway" (architecture.json and
/// model.safetensors); and TorchScript (torchscript_model.h). One a process, since LibTorch's
/// thread settings are the process's. Errors: kFailedPrecondition where the device is not there.
absl::StatusOr<std::unique_ptr<ModelRuntime>> MakeTorchRuntime(const TorchOptions& options);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_TORCH_TORCH_RUNTIME_H_
