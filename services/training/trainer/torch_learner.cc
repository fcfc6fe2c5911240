#include "services/training/trainer/torch_learner.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <sched.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "common/nn/fine_tuning.h"
#include "common/nn/torch_network.h"
#include "fmt/format.h"
#include "services/training/trainer/data/random.h"
#include "services/training/trainer/gang.h"
#include "services/training/trainer/step_sum.h"
#include "services/training/trainer/torch_lbfgs.h"

namespace slipway::trainer {
namespace {

constexpr char kModelPrefix[] = "model.";
constexpr char kBestPrefix[] = "best.";
constexpr char kOptimizerPrefix[] = "optimizer.";
constexpr char kAveragePrefix[] = "average.";
constexpr char kLbfgsPrefix[] = "optimizer.lbfgs.";

// Cores that this process may run on.
int AvailableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return ::sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

// A tensor of the file that must be `like` that one. Errors: kInvalidArgument.
absl::Status CopyFrom(const SafetensorsFile& file, const std::string& name, at::Tensor like) {
  const Tensor* const tensor = file.Find(name);
  if (tensor == nullptr || tensor->dtype() != DataType::kFp32 ||
      tensor->shape().dims() != like.sizes().vec()) {
    return absl::InvalidArgumentError(fmt::format("tensor {} is missing or does not fit", name));
  }
  like.copy_(nn::ToTorch(*tensor));
  return absl::OkStatus();
}

absl::Status Put(const std::string& name, const at::Tensor& tensor, std::vector<Tensor>& saved) {
  ASSIGN_OR_RETURN(Tensor copy, nn::FromTorch(name, tensor.clone()));
  saved.push_back(std::move(copy));
  return absl::OkStatus();
}

// `tensors` with `prefix` before their names, and the inverse, which copies.
absl::Status PutAll(const std::string& prefix, std::span<const Tensor> tensors,
                    std::vector<Tensor>& saved) {
  for (const Tensor& tensor : tensors) {
    ASSIGN_OR_RETURN(Tensor renamed, Tensor::Make(prefix + tensor.name(), tensor.dtype(),
                                                  tensor.shape(), tensor.data(), tensor.name()));
    saved.push_back(std::move(renamed));
  }
  return absl::OkStatus();
}
absl::StatusOr<std::vector<Tensor>> FindAll(std::string_view prefix, const SafetensorsFile& file) {
  std::vector<Tensor> found;
  for (const Tensor& tensor : file.tensors()) {
    if (!tensor.name().starts_with(prefix)) continue;
    ASSIGN_OR_RETURN(
        Tensor renamed,
        Tensor::Make(tensor.name().substr(prefix.size()), tensor.dtype(), tensor.shape(),
                     Buffer::Own(std::string(tensor.data().view())), tensor.name()));
    found.push_back(std::move(renamed));
  }
  return found;
}

// While it lives and is `on`, operators that gain by it (products, convolutions, attention) compute
// in bfloat16, each from copies of its parameters, as torch.autocast does it. One at a time.
class Autocast {
 public:
  Autocast(at::DeviceType device, bool on)
      : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device_, on);
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(device_, before_);
    // Of parameters that change in this step.
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const at::DeviceType device_;
  const bool before_;
};

// The moving average of a network's parameters and statistics. In its first steps it forgets
// faster, so that the start does not stay in a short training (as TensorFlow's
// ExponentialMovingAverage with num_updates).
class MovingAverage {
 public:
  MovingAverage(nn::TorchNetwork& network, double decay) : decay_(decay) {
    followed_ = network.statistics();
    followed_.push_back(network.parameters());
    for (const at::Tensor& tensor : followed_) average_.push_back(tensor.detach().clone());
  }

  // The network must have its own weights.
  void Update(int64_t step) {
    const at::NoGradGuard no_grad;
    const auto n = static_cast<double>(step);
    const double decay = std::min(decay_, (1 + n) / (10 + n));
    for (size_t i = 0; i < followed_.size(); ++i) average_[i].lerp_(followed_[i], 1 - decay);
  }

  // Gives the network the averages, until PutBack. Nothing happens where it has them already:
  // many batches are judged in a row.
  void PutIn() {
    if (!kept_.empty()) return;
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> kept;
    for (const at::Tensor& tensor : followed_) kept.push_back(tensor.clone());
    kept_ = std::move(kept);
    Copy(average_, followed_);
  }
  void PutBack() {
    if (kept_.empty()) return;
    const at::NoGradGuard no_grad;
    Copy(kept_, followed_);
    kept_.clear();
  }

  absl::Status Save(std::vector<Tensor>& saved) const {
    for (size_t i = 0; i < average_.size(); ++i) {
      RETURN_IF_ERROR(Put(kAveragePrefix + std::to_string(i), average_[i], saved));
    }
    return absl::OkStatus();
  }
  absl::Status Load(const SafetensorsFile& file) {
    for (size_t i = 0; i < average_.size(); ++i) {
      RETURN_IF_ERROR(CopyFrom(file, kAveragePrefix + std::to_string(i), average_[i]));
    }
    return absl::OkStatus();
  }

 private:
  static void Copy(const std::vector<at::Tensor>& from, std::vector<at::Tensor>& to) {
    for (size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i]);
  }

  const double decay_;
  std::vector<at::Tensor> followed_;
  std::vector<at::Tensor> average_;
  std::vector<at::Tensor> kept_;  // the network's own, while it has the averages
};

class TorchLearner final : public Learner {
 public:
  TorchLearner(std::unique_ptr<nn::TorchNetwork> network, const training::Loss& loss,
               const training::Optimizer& optimizer, const TorchLearnerOptions& options,
               std::unique_ptr<Gang> gang)
      : network_(std::move(network)),
        loss_(loss),
        optimizer_(optimizer),
        options_(options),
        device_(network_->parameters().device()),
        gang_(std::move(gang)) {
    for (size_t i = 0; i < training::StateOf(optimizer_).size(); ++i) {
      state_.push_back(at::zeros_like(network_->parameters()));
    }
    if (const auto* lbfgs = std::get_if<training::Lbfgs>(&optimizer_)) {
      lbfgs_ = std::make_unique<TorchLbfgs>(*lbfgs, network_->parameters(), network_->gradients());
    }
    if (options_.ema_decay > 0 && leads()) average_.emplace(*network_, options_.ema_decay);
    if (gang_ != nullptr) sum_.emplace(*gang_, *network_);
  }

  absl::Status StartFrom(std::span<const Tensor> weights) override {
    ASSIGN_OR_RETURN(std::vector<Tensor> all, network_->Save());
    for (const Tensor& given : weights) {
      const auto own = std::find_if(all.begin(), all.end(),
                                    [&](const Tensor& t) { return t.name() == given.name(); });
      if (own == all.end()) {
        return absl::InvalidArgumentError(fmt::format("there is no tensor {}", given.name()));
      }
      *own = given;
    }
    average_.reset();
    RETURN_IF_ERROR(network_->Load(all));
    try {
      if (options_.ema_decay > 0 && leads()) average_.emplace(*network_, options_.ema_decay);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

  absl::StatusOr<StepResult> Train(std::span<const Batch> batches, int64_t step,
                                   double rate) override {
    return Guard([&]() -> absl::StatusOr<StepResult> {
      if (average_.has_value()) average_->PutBack();
      if (gang_ != nullptr) {
        if (!std::exchange(state_shared_, true)) ShareState();
        gang_->Share(at::tensor({static_cast<double>(step), rate}, at::kDouble));
      }
      return Step(batches, step, rate);
    });
  }

  absl::Status Follow(absl::FunctionRef<std::span<const Batch>(int64_t step)> part_of) override {
    return Guard([&]() -> absl::Status {
      ShareState();
      const at::Tensor command = at::zeros({2}, at::kDouble);
      for (;;) {
        gang_->Share(command);
        const auto step = static_cast<int64_t>(command[0].item<double>());
        Step(part_of(step), step, command[1].item<double>());
      }
    });
  }

  absl::StatusOr<Judgement> Judge(const Batch& batch) override {
    try {
      if (average_.has_value()) average_->PutIn();
      const c10::InferenceMode inference;
      const at::Tensor each = network_->Evaluate(Inputs(batch), Steps(batch));
      const at::Tensor scores = Flat(each);
      const at::Tensor targets = Targets(batch);
      Judgement judgement;
      judgement.loss = Loss(scores, targets).item<double>();
      if (each.dim() > 2 || !batch.steps.empty()) {
        judgement.log_loss = at::cross_entropy_loss(scores, targets).item<double>();
        judgement.right = scores.argmax(1).eq(targets).sum().item<int64_t>();
        return judgement;
      }
      const at::Tensor flat = scores.to(at::kCPU).contiguous();
      const float* const first = flat.const_data_ptr<float>();
      judgement.scores.assign(first, first + flat.numel());
      return judgement;
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

  absl::StatusOr<std::vector<Tensor>> SaveModel() override {
    ASSIGN_OR_RETURN(const std::vector<Tensor> judged, SaveJudged());
    return nn::MergeAdapters(network_->network(), judged);
  }

  absl::Status KeepBest() override {
    ASSIGN_OR_RETURN(best_, SaveJudged());
    return absl::OkStatus();
  }
  absl::Status TakeBest() override {
    sum_.reset();
    gang_.reset();
    if (best_.empty()) return absl::OkStatus();
    average_.reset();
    return network_->Load(best_);
  }

  absl::StatusOr<std::vector<Tensor>> SaveState() override {
    if (average_.has_value()) average_->PutBack();
    ASSIGN_OR_RETURN(const std::vector<Tensor> model, network_->Save());
    std::vector<Tensor> saved;
    RETURN_IF_ERROR(PutAll(kModelPrefix, model, saved));
    RETURN_IF_ERROR(PutAll(kBestPrefix, best_, saved));
    if (average_.has_value()) RETURN_IF_ERROR(average_->Save(saved));
    const auto names = training::StateOf(optimizer_);
    for (size_t i = 0; i < state_.size(); ++i) {
      RETURN_IF_ERROR(Put(kOptimizerPrefix + std::string(names[i]), state_[i], saved));
    }
    if (lbfgs_ != nullptr) RETURN_IF_ERROR(SaveLbfgs(saved));
    return saved;
  }

  absl::Status LoadState(const SafetensorsFile& file) override {
    if (average_.has_value()) average_->PutBack();
    ASSIGN_OR_RETURN(const std::vector<Tensor> model, FindAll(kModelPrefix, file));
    RETURN_IF_ERROR(network_->Load(model));
    ASSIGN_OR_RETURN(best_, FindAll(kBestPrefix, file));
    if (!best_.empty()) {
      RETURN_IF_ERROR(nn::MatchParameters(network_->network(), best_).status());
    }
    try {
      const at::NoGradGuard no_grad;
      if (average_.has_value()) RETURN_IF_ERROR(average_->Load(file));
      const auto names = training::StateOf(optimizer_);
      for (size_t i = 0; i < state_.size(); ++i) {
        RETURN_IF_ERROR(CopyFrom(file, kOptimizerPrefix + std::string(names[i]), state_[i]));
      }
      if (lbfgs_ != nullptr) {
        ASSIGN_OR_RETURN(const std::vector<Tensor> saved, FindAll(kLbfgsPrefix, file));
        TorchLbfgs::State state;
        for (const Tensor& tensor : saved) state[tensor.name()] = nn::ToTorch(tensor);
        lbfgs_->Load(state);
      }
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

 private:
  // The parameters that Judge uses.
  absl::StatusOr<std::vector<Tensor>> SaveJudged() {
    try {
      if (average_.has_value()) average_->PutIn();
      return network_->Save();
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

  bool leads() const { return gang_ == nullptr || gang_->rank() == 0; }

  template <class Body>
  auto Guard(const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::exception& error) {
      const absl::Status status = nn::TorchError(error);
      if (gang_ == nullptr || absl::IsResourceExhausted(status)) return status;
      return absl::UnavailableError(
          fmt::format("a process of the job was lost: {}", std::string(status.message())));
    }
  }

  // Once, before the first step: the leader may have loaded a state. The others may still be
  // reading their data.
  void ShareState() {
    const at::NoGradGuard no_grad;
    gang_->Meet();
    gang_->Share(network_->parameters());
    for (const at::Tensor& tensor : network_->statistics()) gang_->Share(tensor);
    for (const at::Tensor& tensor : state_) gang_->Share(tensor);
  }

  // Random numbers follow from these alone: no state of theirs has to be kept.
  void SeedStep(int64_t step) const {
    const int64_t processes = gang_ == nullptr ? 1 : gang_->processes();
    const int64_t rank = gang_ == nullptr ? 0 : gang_->rank();
    // ~: other numbers than those by which rows are shuffled.
    at::manual_seed(Random(~options_.seed, static_cast<uint64_t>(step * processes + rank)).Next());
  }

  // Loss and gradients of all batches together, at the parameters of now; of all processes.
  StepResult ComputeGradients(std::span<const Batch> batches) {
    network_->gradients().zero_();
    StepResult result;
    double share = 0;
    for (const Batch& batch : batches) {
      const at::Tensor targets = Targets(batch);
      const at::Tensor scores = Forward(batch);
      at::Tensor loss = Loss(scores, targets);
      if (batch.share != 1) loss = loss * batch.share;
      share += batch.share;
      result.loss += loss.item<double>();
      if (!batch.classes.empty()) {
        const at::NoGradGuard no_grad;
        result.right += scores.argmax(1).eq(targets).sum().item<int64_t>();
      }
      if (sum_.has_value() && &batch == &batches.back()) sum_->Start(result, share);
      loss.backward();
    }
    if (sum_.has_value()) {
      if (batches.empty()) sum_->Start(result, share);
      result = sum_->Finish();
    }
    return result;
  }

  at::Tensor Forward(const Batch& batch) {
    const Autocast autocast(device_.type(), options_.bfloat16);
    return Flat(network_->Train(Inputs(batch), Steps(batch))).to(at::kFloat);
  }

  StepResult Step(std::span<const Batch> batches, int64_t step, double rate) {
    SeedStep(step);
    StepResult result = ComputeGradients(batches);
    if (!std::isfinite(result.loss)) return result;
    if (lbfgs_ != nullptr) {
      bool first = true;
      lbfgs_->Step(rate, [&] {
        return std::exchange(first, false) ? result.loss : ComputeGradients(batches).loss;
      });
      if (average_.has_value()) average_->Update(step);
      return result;
    }

    const at::NoGradGuard no_grad;
    if (!Clip()) {
      result.loss = std::numeric_limits<double>::quiet_NaN();
      return result;
    }
    const int64_t decaying = network_->decaying_size();
    if (options_.l1 > 0) {
      network_->gradients()
          .slice(0, 0, decaying)
          .add_(network_->parameters().slice(0, 0, decaying).sign(), options_.l1);
    }
    Update(0, decaying, {.step = step, .rate = rate, .decays = true});
    Update(decaying, network_->parameters().numel(), {.step = step, .rate = rate, .decays = false});
    if (average_.has_value()) average_->Update(step);
    return result;
  }

  // Views of the batch where it lies on the CPU: it outlives the step.
  at::Tensor Inputs(const Batch& batch) const {
    const TensorSpec& spec = network_->network().value(network_->network().inputs()[0]);
    std::vector<int64_t> dims = spec.shape.dims();
    dims[0] = batch.size;
    const std::string_view bytes(batch.inputs.data(), batch.inputs.size());
    return nn::ToTorch(Tensor::Make(spec.name, spec.dtype, Shape(std::move(dims)),
                                    Buffer::Borrow(bytes), "batch")
                           .value())
        .to(device_);
  }
  // Undefined: all.
  at::Tensor Steps(const Batch& batch) const {
    return batch.steps.empty() ? at::Tensor() : Numbers(batch.steps);
  }
  at::Tensor Numbers(const std::vector<int64_t>& numbers) const {
    return at::from_blob(const_cast<int64_t*>(numbers.data()), {std::ssize(numbers)},
                         at::TensorOptions().dtype(at::kLong))
        .to(device_);
  }
  // [rows, outputs], or of tokens [rows * steps, outputs].
  static at::Tensor Flat(const at::Tensor& head) { return head.flatten(0, -2); }
  at::Tensor Targets(const Batch& batch) const {
    if (!batch.classes.empty()) return Numbers(batch.classes);
    return at::from_blob(const_cast<float*>(batch.values.data()), {batch.size, 1},
                         at::TensorOptions().dtype(at::kFloat))
        .to(device_);
  }
  at::Tensor Loss(const at::Tensor& scores, const at::Tensor& targets) const {
    return std::visit([&](const auto& kind) { return kind(scores, targets); }, loss_);
  }

  absl::Status SaveLbfgs(std::vector<Tensor>& saved) const {
    try {
      for (const auto& [name, tensor] : lbfgs_->Save()) {
        RETURN_IF_ERROR(Put(kLbfgsPrefix + name, tensor, saved));
      }
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return nn::TorchError(error);
    }
  }

  // Updates elements [first, end) of the flat parameters.
  void Update(int64_t first, int64_t end, const training::Update& update) {
    if (first == end) return;
    at::Tensor parameters = network_->parameters().slice(0, first, end);
    const at::Tensor gradients = network_->gradients().slice(0, first, end);
    std::vector<at::Tensor> state;
    for (const at::Tensor& whole : state_) state.push_back(whole.slice(0, first, end));
    std::visit([&](const auto& kind) { StepBy(kind, parameters, gradients, state, update); },
               optimizer_);
  }

  // Its steps are TorchLbfgs's.
  static void StepBy(const training::Lbfgs&, at::Tensor&, const at::Tensor&, std::span<at::Tensor>,
                     const training::Update&) {}
  template <class Kind>
  static void StepBy(const Kind& kind, at::Tensor& parameters, const at::Tensor& gradients,
                     std::span<at::Tensor> state, const training::Update& update) {
    kind.Step(parameters, gradients, state, update);
  }
  // PyTorch's kernels go over the elements once, and not once for each operation.
  static void StepBy(const training::Adam& adam, at::Tensor& parameters,
                     const at::Tensor& gradients, std::span<at::Tensor> state,
                     const training::Update& update) {
    at::_fused_adam_({parameters}, {gradients}, {state[0]}, {state[1]}, {}, {StepTensor(update)},
                     update.rate, adam.beta1, adam.beta2, update.decays ? adam.weight_decay : 0,
                     adam.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
  static void StepBy(const training::AdamW& adam, at::Tensor& parameters,
                     const at::Tensor& gradients, std::span<at::Tensor> state,
                     const training::Update& update) {
    at::_fused_adamw_({parameters}, {gradients}, {state[0]}, {state[1]}, {}, {StepTensor(update)},
                      update.rate, adam.beta1, adam.beta2, update.decays ? adam.weight_decay : 0,
                      adam.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
  static at::Tensor StepTensor(const training::Update& update) {
    return at::scalar_tensor(static_cast<double>(update.step), at::kFloat);
  }

  // False where the gradient's norm is not finite.
  bool Clip() {
    const double largest = options_.clip_norm;
    if (largest == 0 && options_.clip_value == 0) return true;
    at::Tensor& gradients = network_->gradients();
    const double norm = gradients.norm().item<double>();
    if (!std::isfinite(norm)) return false;
    if (options_.clip_value > 0) gradients.clamp_(-options_.clip_value, options_.clip_value);
    // As torch's clip_grad_norm_.
    if (largest > 0 && norm > largest) gradients.mul_(largest / (norm + 1e-6));
    return true;
  }

  std::unique_ptr<nn::TorchNetwork> network_;
  const training::Loss loss_;
  const training::Optimizer optimizer_;
  const TorchLearnerOptions options_;
  const at::Device device_;
  std::vector<at::Tensor> state_;      // flat, as the parameters
  std::unique_ptr<TorchLbfgs> lbfgs_;  // where that is the optimiser
  std::optional<MovingAverage> average_;
  std::vector<Tensor> best_;  // as SaveJudged gave them; empty: none yet
  // Null, and empty: this process works alone.
  std::unique_ptr<Gang> gang_;
  std::optional<StepSum> sum_;
  bool state_shared_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Learner>> MakeTorchLearner(nn::Network network,
                                                          const training::Loss& loss,
                                                          const training::Optimizer& optimizer,
                                                          const TorchLearnerOptions& options,
                                                          std::unique_ptr<Gang> gang) {
  const int processes = gang == nullptr ? 1 : gang->processes();
  if (options.threads > 0 || processes > 1) {
    // Threads that share a core spin at each other's barriers.
    const int cores = std::max(1, AvailableCores() / processes);
    at::set_num_threads(options.threads > 0 ? std::min(options.threads, AvailableCores()) : cores);
  }
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  // It would also fill every fresh tensor with NaN, at a price.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  ASSIGN_OR_RETURN(auto torch_network,
                   nn::TorchNetwork::Create(std::move(network), options.device));
  RETURN_IF_ERROR(torch_network->Initialize(options.seed));
  try {
    return std::make_unique<TorchLearner>(std::move(torch_network), loss, optimizer, options,
                                          std::move(gang));
  } catch (const std::exception& error) {
    return nn::TorchError(error);
  }
}

}  // namespace slipway::trainer
