#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAM_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAM_H_

#include <array>
#include <cmath>
#include <span>
#include <string_view>

#include "services/training/spec/optimizer/update.h"

namespace slipway::training {

/// Adam (https://arxiv.org/abs/1412.6980). Steps equal PyTorch's.
struct Adam {
  static constexpr std::string_view kType = "adam";
  static constexpr std::array<std::string_view, 2> kState = {"mean", "square"};

  double learning_rate = 0.001;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  /// L2: added to the gradient as weight_decay * parameter.
  double weight_decay = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("learning_rate", learning_rate, {.max = 1e3, .above = 0, .required = true});
    v.Real("beta1", beta1, {.min = 0, .below = 1});
    v.Real("beta2", beta2, {.min = 0, .below = 1});
    v.Real("epsilon", epsilon, {.max = 1, .above = 0});
    v.Real("weight_decay", weight_decay, {.min = 0, .max = 1});
  }

  template <class Tensor>
  void Step(Tensor& parameter, const Tensor& gradient, std::span<Tensor> state,
            const Update& update) const {
    const bool decay = update.decays && weight_decay > 0;
    const Tensor direction = decay ? gradient.add(parameter, weight_decay) : gradient;
    Tensor& mean = state[0];
    Tensor& square = state[1];
    mean.lerp_(direction, 1 - beta1);
    square.mul_(beta2).addcmul_(direction, direction, 1 - beta2);
    const double step = static_cast<double>(update.step);
    const double mean_share = 1 - std::pow(beta1, step);
    const double square_share = 1 - std::pow(beta2, step);
    const Tensor root = square.sqrt().div_(std::sqrt(square_share)).add_(epsilon);
    parameter.addcdiv_(mean, root, -update.rate / mean_share);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAM_H_
