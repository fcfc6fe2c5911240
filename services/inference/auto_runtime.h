#ifndef SLIPWAY_SERVICES_INFERENCE_AUTO_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_AUTO_RUNTIME_H_

#include <memory>

#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// The runtimes of a worker as one: takes the one that a deployment names, or with "auto" the
/// fastest that runs the version on this worker's device. On a CPU that is `openvino` for every
/// format; `torch` takes over our own architectures where OpenVINO lacks a part of one. On a GPU it
/// is `torch`. Any thread.
class AutoRuntime final : public ModelRuntime {
 public:
  /// Either may be null: a worker may be built without it.
  AutoRuntime(std::unique_ptr<ModelRuntime> torch, std::unique_ptr<ModelRuntime> openvino,
              bool on_cpu)
      : torch_(std::move(torch)), openvino_(std::move(openvino)), on_cpu_(on_cpu) {}

  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override;

 private:
  const std::unique_ptr<ModelRuntime> torch_;
  const std::unique_ptr<ModelRuntime> openvino_;
  const bool on_cpu_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_AUTO_RUNTIME_H_
