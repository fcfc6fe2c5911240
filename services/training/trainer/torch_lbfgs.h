#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_TORCH_LBFGS_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_TORCH_LBFGS_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "services/training/spec/optimizer/lbfgs.h"

namespace torch::optim {
class LBFGS;
}

namespace slipway::trainer {

/// torch::optim::LBFGS over parameters that lie in one flat tensor. All may throw c10::Error. One
/// thread.
class TorchLbfgs {
 public:
  /// `gradients` are where each evaluation leaves them; both tensors stay the caller's.
  TorchLbfgs(const training::Lbfgs& options, const at::Tensor& parameters,
             const at::Tensor& gradients);
  ~TorchLbfgs();

  /// One step. `evaluate` computes loss and gradients at the parameters as they are then; the first
  /// time they are as they were.
  void Step(double rate, const std::function<double()>& evaluate);

  using State = std::map<std::string, at::Tensor>;
  /// What the next step depends on; empty before the first.
  State Save() const;
  void Load(const State& saved);

 private:
  std::unique_ptr<torch::optim::LBFGS> optimizer_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_TORCH_LBFGS_H_
