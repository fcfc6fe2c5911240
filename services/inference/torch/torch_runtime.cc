#include "services/inference/torch/torch_runtime.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <utility>

#include "common/nn/model_description.h"
#include "common/nn/torch_network.h"
#include "common/runtime_settings/torchscript.h"
#include "fmt/format.h"
#include "services/inference/slipway_artifact.h"
#include "services/inference/torch/torchscript_model.h"

namespace slipway::worker {
namespace {

class TorchModel final : public LoadedModel {
 public:
  TorchModel(std::unique_ptr<const nn::TorchNetwork> network, Signature signature, bool on_cpu)
      : network_(std::move(network)), signature_(std::move(signature)), on_cpu_(on_cpu) {}

  std::string_view platform() const override { return "slipway_torch"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return on_cpu_ ? weights() : 0; }
  int64_t device_memory_bytes() const override { return on_cpu_ ? 0 : weights(); }

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    return network_->Run(inputs);
  }

 private:
  int64_t weights() const { return network_->network().parameter_bytes(); }

  const std::unique_ptr<const nn::TorchNetwork> network_;
  const Signature signature_;
  const bool on_cpu_;
};

class TorchRuntime final : public ModelRuntime {
 public:
  explicit TorchRuntime(TorchOptions options) : options_(std::move(options)) {}

  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override {
    if (source.format == kTorchScriptFormat) {
      return LoadTorchScript(source, options_.device, options_.torchscript);
    }
    if (source.format != nn::kArtifactFormat) {
      return absl::UnimplementedError(fmt::format(
          "the runtime \"torch\" runs artifacts of format \"{}\" and \"{}\", not \"{}\"",
          nn::kArtifactFormat, kTorchScriptFormat, source.format.substr(0, 80)));
    }
    if (source.settings.precision != RuntimeSettings::Precision::kFloat32) {
      return absl::UnimplementedError("the runtime \"torch\" computes in float32 only");
    }
    ASSIGN_OR_RETURN(SlipwayArtifact artifact, SlipwayArtifact::Open(source));
    ASSIGN_OR_RETURN(std::unique_ptr<nn::TorchNetwork> network,
                     nn::TorchNetwork::Create(std::move(artifact.network), options_.device,
                                              nn::TorchNetwork::Use::kInference));
    if (const absl::Status loaded = network->Load(artifact.weights.tensors()); !loaded.ok()) {
      return Annotate(loaded, nn::kWeightsFile);
    }
    return std::make_shared<const TorchModel>(std::move(network), std::move(artifact.signature),
                                              /*on_cpu=*/options_.device == "cpu");
  }

 private:
  const TorchOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRuntime>> MakeTorchRuntime(const TorchOptions& options) {
  if (options.device.starts_with("cuda") && !torch::cuda::is_available()) {
    return absl::FailedPreconditionError(fmt::format(
        "device {} is not there: this machine or this build has no CUDA", options.device));
  }
  try {
    at::set_num_threads(options.threads);
    // LibTorch takes this once only.
    if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);
  } catch (const std::exception& error) {
    return nn::TorchError(error);
  }
  return std::make_unique<TorchRuntime>(options);
}

}  // namespace slipway::worker
