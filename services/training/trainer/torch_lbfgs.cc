#include "services/training/trainer/torch_lbfgs.h"

#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>

namespace slipway::trainer {
namespace {

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

at::Tensor TorchLbfgs::Save() const {
  std::ostringstream stream;
  torch::save(*optimizer_, stream);
  const std::string bytes = stream.str();
  at::Tensor saved = at::empty({static_cast<int64_t>(bytes.size())}, at::kByte);
  std::memcpy(saved.data_ptr(), bytes.data(), bytes.size());
  return saved;
}

void TorchLbfgs::Load(const at::Tensor& saved) {
  const at::Tensor bytes = saved.contiguous();
  std::istringstream stream(
      std::string(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()));
  torch::load(*optimizer_, stream);
}

}  // namespace slipway::trainer
