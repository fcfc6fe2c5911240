#include "services/training/trainer/torch_lbfgs.h"

#include <torch/torch.h>

#include <cmath>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

namespace slipway::trainer {
namespace {

constexpr char kDirection[] = "direction";
constexpr char kDiagonal[] = "diagonal";
constexpr char kGradient[] = "gradient";
constexpr char kNumbers[] = "numbers";
// Of the newest steps: how the gradient changed and the parameters moved, and one over the product.
constexpr char kChanges[] = "changes";
constexpr char kSteps[] = "steps";
constexpr char kCurvatures[] = "curvatures";

torch::optim::LBFGSOptions ToTorch(const training::Lbfgs& options) {
  torch::optim::LBFGSOptions out(options.learning_rate);
  out.max_iter(options.iterations)
      .history_size(options.history)
      .tolerance_grad(options.gradient_tolerance)
      .tolerance_change(options.change_tolerance);
  if (options.line_search == training::Lbfgs::LineSearch::kStrongWolfe) {
    out.line_search_fn("strong_wolfe");
  }
  return out;
}

}  // namespace

TorchLbfgs::TorchLbfgs(const training::Lbfgs& options, const at::Tensor& parameters,
                       const at::Tensor& gradients) {
  // A tensor of its own on the same memory, which has these gradients.
  at::Tensor shared = parameters.detach();
  shared.mutable_grad() = gradients;
  optimizer_ =
      std::make_unique<torch::optim::LBFGS>(std::vector<at::Tensor>{shared}, ToTorch(options));
}

TorchLbfgs::~TorchLbfgs() = default;

void TorchLbfgs::Step(double rate, const std::function<double()>& evaluate) {
  optimizer_->param_groups()[0].options().set_lr(rate);
  optimizer_->step([&] {
    const double loss = evaluate();
    // A place that the line search is to turn back from; it reckons with numbers.
    return at::scalar_tensor(std::isfinite(loss) ? loss : std::numeric_limits<float>::max(),
                             at::kDouble);
  });
}

// (Its own serialisation fails on scratch tensors that are not there yet.)
TorchLbfgs::State TorchLbfgs::Save() const {
  if (optimizer_->state().empty()) return {};
  const auto& state =
      static_cast<const torch::optim::LBFGSParamState&>(*optimizer_->state().begin()->second);
  if (!state.d().defined()) return {};  // there was nothing to be done
  State saved = {
      {kDirection, state.d()},
      {kDiagonal, state.H_diag().reshape({1})},
      {kGradient, state.prev_flat_grad()},
      {kNumbers, at::tensor({static_cast<double>(state.func_evals()),
                             static_cast<double>(state.n_iter()), state.t(), state.prev_loss()},
                            at::kDouble)}};
  const auto put = [&](const char* name, const std::deque<at::Tensor>& tensors) {
    if (!tensors.empty()) {
      saved[name] = at::stack(std::vector<at::Tensor>(tensors.begin(), tensors.end()));
    }
  };
  put(kChanges, state.old_dirs());
  put(kSteps, state.old_stps());
  put(kCurvatures, state.ro());
  return saved;
}

void TorchLbfgs::Load(const State& saved) {
  optimizer_->state().clear();
  if (saved.empty()) return;
  const at::Tensor& parameters = optimizer_->param_groups()[0].params()[0];
  const auto get = [&](const char* name) { return saved.at(name).to(parameters.device()); };
  const auto list = [&](const char* name) {
    std::deque<at::Tensor> tensors;
    if (!saved.contains(name)) return tensors;
    for (const at::Tensor& tensor : get(name).unbind()) tensors.push_back(tensor.clone());
    return tensors;
  };
  const at::Tensor numbers = saved.at(kNumbers);
  const auto* const number = numbers.const_data_ptr<double>();
  auto state = std::make_unique<torch::optim::LBFGSParamState>();
  state->func_evals(static_cast<int64_t>(number[0]));
  state->n_iter(static_cast<int64_t>(number[1]));
  state->t(number[2]);
  state->prev_loss(number[3]);
  state->d(get(kDirection).clone());
  state->H_diag(get(kDiagonal).reshape({}).clone());
  state->prev_flat_grad(get(kGradient).clone());
  state->old_dirs(list(kChanges));
  state->old_stps(list(kSteps));
  state->ro(list(kCurvatures));
  optimizer_->state()[parameters.unsafeGetTensorImpl()] = std::move(state);
}

}  // namespace slipway::trainer
