#include "services/training/trainer/torch_learner.h"

#include <ATen/Parallel.h>
#include <sched.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "common/nn/torch_network.h"
#include "fmt/format.h"

namespace slipway::trainer {
namespace {

constexpr char kModelPrefix[] = "model.";
constexpr char kOptimizerPrefix[] = "optimizer.";
constexpr char kRandom[] = "random.cpu";
constexpr char kCudaRandom[] = "random.cuda";

// Cores that this process may run on.
int AvailableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return ::sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

class TorchLearner final : public Learner {
 public:
  TorchLearner(std::unique_ptr<nn::TorchNetwork> network, const training::Loss& loss,
               const training::Optimizer& optimizer, double clip_norm)
      : network_(std::move(network)),
        loss_(loss),
        optimizer_(optimizer),
        clip_norm_(clip_norm),
        device_(network_->parameters().device()) {
    for (size_t i = 0; i < training::StateOf(optimizer_).size(); ++i) {
      state_.push_back(at::zeros_like(network_->parameters()));
    }
  }

  absl::StatusOr<StepResult> Train(const Batch& batch, int64_t step, double rate) override {
    try {
      const at::Tensor inputs = Inputs(batch);
      const at::Tensor targets = Targets(batch);
      network_->gradients().zero_();
      const at::Tensor scores = network_->Train(inputs);
      const at::Tensor loss = Loss(scores, targets);
      StepResult result;
      result.loss = loss.item<double>();
      if (!std::isfinite(result.loss)) return result;
      loss.backward();

      const at::NoGradGuard no_grad;
      if (!Clip()) {
        result.loss = std::numeric_limits<double>::quiet_NaN();
        return result;
      }
      const int64_t decaying = network_->decaying_size();
      Update(0, decaying, {.step = step, .rate = rate, .decays = true});
      Update(decaying, network_->parameters().numel(),
             {.step = step, .rate = rate, .decays = false});
      if (!batch.classes.empty()) {
        result.right = scores.argmax(1).eq(targets).sum().item<int64_t>();
      }
      return result;
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

  absl::StatusOr<Judgement> Judge(const Batch& batch) override {
    try {
      const c10::InferenceMode inference;
      const at::Tensor scores = network_->Evaluate(Inputs(batch));
      Judgement judgement;
      judgement.loss = Loss(scores, Targets(batch)).item<double>();
      const at::Tensor flat = scores.to(at::kCPU).contiguous();
      const float* const first = flat.const_data_ptr<float>();
      judgement.scores.assign(first, first + flat.numel());
      return judgement;
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

  absl::StatusOr<std::vector<Tensor>> SaveModel() override { return network_->Save(); }

  absl::StatusOr<std::vector<Tensor>> SaveState() override {
    ASSIGN_OR_RETURN(const std::vector<Tensor> model, network_->Save());
    std::vector<Tensor> saved;
    for (const Tensor& tensor : model) {
      ASSIGN_OR_RETURN(Tensor renamed, Tensor::Make(kModelPrefix + tensor.name(), tensor.dtype(),
                                                    tensor.shape(), tensor.data(), tensor.name()));
      saved.push_back(std::move(renamed));
    }
    const auto names = training::StateOf(optimizer_);
    for (size_t i = 0; i < state_.size(); ++i) {
      RETURN_IF_ERROR(Put(kOptimizerPrefix + std::string(names[i]), state_[i], saved));
    }
    RETURN_IF_ERROR(Put(kRandom, at::detail::getDefaultCPUGenerator().get_state(), saved));
    if (device_.is_cuda()) {
      RETURN_IF_ERROR(
          Put(kCudaRandom, at::globalContext().defaultGenerator(device_).get_state(), saved));
    }
    return saved;
  }

  absl::Status LoadState(const SafetensorsFile& file) override {
    // The network takes its own tensors and refuses any other, so it gets a file of its own.
    std::vector<Tensor> model;
    for (const Tensor& tensor : file.tensors()) {
      if (!tensor.name().starts_with(kModelPrefix)) continue;
      ASSIGN_OR_RETURN(Tensor renamed,
                       Tensor::Make(tensor.name().substr(sizeof(kModelPrefix) - 1), tensor.dtype(),
                                    tensor.shape(), tensor.data(), tensor.name()));
      model.push_back(std::move(renamed));
    }
    RETURN_IF_ERROR(network_->Load(model));
    try {
      const auto names = training::StateOf(optimizer_);
      for (size_t i = 0; i < state_.size(); ++i) {
        const std::string name = kOptimizerPrefix + std::string(names[i]);
        const Tensor* const tensor = file.Find(name);
        if (tensor == nullptr || tensor->dtype() != DataType::kFp32 ||
            tensor->shape().dims() != state_[i].sizes().vec()) {
          return absl::InvalidArgumentError(
              fmt::format("tensor {} is missing or does not fit", name));
        }
        state_[i].copy_(nn::ToTorch(*tensor));
      }
      RETURN_IF_ERROR(SetRandom(at::detail::getDefaultCPUGenerator(), kRandom, file));
      if (device_.is_cuda()) {
        RETURN_IF_ERROR(
            SetRandom(at::globalContext().defaultGenerator(device_), kCudaRandom, file));
      }
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

 private:
  // Views of the batch where it lies on the CPU: it outlives the step.
  at::Tensor Inputs(const Batch& batch) const {
    const TensorSpec& spec = network_->network().value(network_->network().inputs()[0]);
    std::vector<int64_t> dims = spec.shape.dims();
    dims[0] = batch.size;
    const at::ScalarType type = spec.dtype == DataType::kUint8 ? at::kByte : at::kFloat;
    return at::from_blob(const_cast<char*>(batch.inputs.data()), dims,
                         at::TensorOptions().dtype(type))
        .to(device_);
  }
  at::Tensor Targets(const Batch& batch) const {
    if (!batch.classes.empty()) {
      return at::from_blob(const_cast<int64_t*>(batch.classes.data()), {batch.size},
                           at::TensorOptions().dtype(at::kLong))
          .to(device_);
    }
    return at::from_blob(const_cast<float*>(batch.values.data()), {batch.size, 1},
                         at::TensorOptions().dtype(at::kFloat))
        .to(device_);
  }
  at::Tensor Loss(const at::Tensor& scores, const at::Tensor& targets) const {
    return std::visit([&](const auto& kind) { return kind(scores, targets); }, loss_);
  }

  // Updates elements [first, end) of the flat parameters.
  void Update(int64_t first, int64_t end, const training::Update& update) {
    at::Tensor parameters = network_->parameters().slice(0, first, end);
    const at::Tensor gradients = network_->gradients().slice(0, first, end);
    std::vector<at::Tensor> state;
    for (const at::Tensor& whole : state_) state.push_back(whole.slice(0, first, end));
    std::visit(
        [&](const auto& kind) { kind.Step(parameters, gradients, std::span(state), update); },
        optimizer_);
  }

  // False where the gradient's norm is not finite.
  bool Clip() {
    if (clip_norm_ == 0) return true;
    const double norm = network_->gradients().norm().item<double>();
    if (!std::isfinite(norm)) return false;
    // As torch's clip_grad_norm_.
    if (norm > clip_norm_) network_->gradients().mul_(clip_norm_ / (norm + 1e-6));
    return true;
  }

  static absl::Status Put(const std::string& name, const at::Tensor& tensor,
                          std::vector<Tensor>& saved) {
    ASSIGN_OR_RETURN(Tensor copy, nn::FromTorch(name, tensor.clone()));
    saved.push_back(std::move(copy));
    return absl::OkStatus();
  }
  static absl::Status SetRandom(at::Generator generator, const std::string& name,
                                const SafetensorsFile& file) {
    const Tensor* const tensor = file.Find(name);
    if (tensor == nullptr || tensor->dtype() != DataType::kUint8) {
      return absl::InvalidArgumentError(fmt::format("tensor {} is missing or no UINT8", name));
    }
    generator.set_state(nn::ToTorch(*tensor).clone());
    return absl::OkStatus();
  }

  std::unique_ptr<nn::TorchNetwork> network_;
  const training::Loss loss_;
  const training::Optimizer optimizer_;
  const double clip_norm_;
  const at::Device device_;
  std::vector<at::Tensor> state_;  // flat, as the parameters
};

}  // namespace

absl::StatusOr<std::unique_ptr<Learner>> MakeTorchLearner(nn::Network network,
                                                          const training::Loss& loss,
                                                          const training::Optimizer& optimizer,
                                                          const TorchLearnerOptions& options) {
  if (options.threads > 0) {
    // Threads that share a core spin at each other's barriers.
    at::set_num_threads(std::min(options.threads, AvailableCores()));
  }
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  // It would also fill every fresh tensor with NaN, at a price.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  at::manual_seed(options.seed);
  ASSIGN_OR_RETURN(auto torch_network,
                   nn::TorchNetwork::Create(std::move(network), options.device));
  RETURN_IF_ERROR(torch_network->Initialize(options.seed));
  try {
    return std::make_unique<TorchLearner>(std::move(torch_network), loss, optimizer,
                                          options.clip_norm);
  } catch (const std::exception& error) {
    return nn::TorchError(error);
  }
}

}  // namespace slipway::trainer
