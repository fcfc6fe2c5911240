#include "services/inference/torch/torch_runtime.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <utility>

#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "common/nn/torch_network.h"
#include "common/tensor/safetensors.h"
#include "fmt/format.h"

namespace slipway::worker {
namespace {

constexpr uint64_t kMaxDescriptionBytes = uint64_t{16} << 20;

absl::StatusOr<std::string> PathOf(const ModelFiles& files, std::string_view name) {
  const auto file = files.find(std::string(name));
  if (file == files.end()) {
    return absl::InvalidArgumentError(fmt::format("the artifact has no file {}", name));
  }
  return file->second;
}

class TorchModel final : public LoadedModel {
 public:
  TorchModel(std::unique_ptr<const nn::TorchNetwork> network, Signature signature)
      : network_(std::move(network)), signature_(std::move(signature)) {}

  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return network_->network().parameter_bytes(); }

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    return network_->Run(inputs);
  }

 private:
  const std::unique_ptr<const nn::TorchNetwork> network_;
  const Signature signature_;
};

class TorchRuntime final : public ModelRuntime {
 public:
  explicit TorchRuntime(TorchOptions options) : options_(std::move(options)) {}

  std::string_view platform() const override { return "slipway_torch"; }

  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const std::string& format,
                                                          const ModelFiles& files) override {
    if (format != nn::kArtifactFormat) {
      return absl::UnimplementedError(
          fmt::format("this worker runs artifacts of format \"{}\", not \"{}\"",
                      nn::kArtifactFormat, format.substr(0, 80)));
    }
    ASSIGN_OR_RETURN(const std::string description_path, PathOf(files, nn::kDescriptionFile));
    ASSIGN_OR_RETURN(const std::string weights_path, PathOf(files, nn::kWeightsFile));
    const auto network = Build(description_path);
    if (!network.ok()) return Annotate(network.status(), nn::kDescriptionFile);
    return LoadWeights(*network, weights_path);
  }

 private:
  absl::StatusOr<nn::Network> Build(const std::string& path) const {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxDescriptionBytes));
    ASSIGN_OR_RETURN(const nn::ModelDescription description, nn::ModelDescription::Parse(text, ""));
    return description.BuildNetwork("");
  }

  absl::StatusOr<std::shared_ptr<const LoadedModel>> LoadWeights(const nn::Network& graph,
                                                                 const std::string& path) const {
    Signature signature;
    for (const nn::ValueId id : graph.inputs()) signature.inputs.push_back(graph.value(id));
    for (const nn::ValueId id : graph.outputs()) signature.outputs.push_back(graph.value(id));
    ASSIGN_OR_RETURN(
        std::unique_ptr<nn::TorchNetwork> network,
        nn::TorchNetwork::Create(graph, options_.device, nn::TorchNetwork::Use::kInference));
    // Mapped: the bytes are copied once, into the network.
    const auto weights = SafetensorsFile::Open(path, SafetensorsFile::Access::kMap);
    // The path is the cache's; what a person knows is the file's name in the artifact.
    if (!weights.ok()) return Annotate(weights.status(), nn::kWeightsFile);
    if (const absl::Status loaded = network->Load(weights->tensors()); !loaded.ok()) {
      return Annotate(loaded, nn::kWeightsFile);
    }
    return std::make_shared<const TorchModel>(std::move(network), std::move(signature));
  }

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
