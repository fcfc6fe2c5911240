#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAGRAD_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAGRAD_H_

#include <array>
#include <span>
#include <string_view>

#include "services/training/spec/optimizer/update.h"

namespace slipway::training {

/// Adagrad (https://jmlr.org/papers/v12/duchi11a.html). Steps equal PyTorch's.
struct Adagrad {
  static constexpr std::string_view kType = "adagrad";
  static constexpr std::array<std::string_view, 1> kState = {"square"};

  double learning_rate = 0.01;
  double epsilon = 1e-10;
  /// L2: added to the gradient as weight_decay * parameter.
  double weight_decay = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("learning_rate", learning_rate, {.max = 1e3, .above = 0, .required = true});
    v.Real("epsilon", epsilon, {.max = 1, .above = 0});
    v.Real("weight_decay", weight_decay, {.min = 0, .max = 1});
  }

  template <class Tensor>
  void Step(Tensor& parameter, const Tensor& gradient, std::span<Tensor> state,
            const Update& update) const {
    const bool decay = update.decays && weight_decay > 0;
    const Tensor direction = decay ? gradient.add(parameter, weight_decay) : gradient;
    Tensor& square = state[0];
    square.addcmul_(direction, direction);
    parameter.addcdiv_(direction, square.sqrt().add_(epsilon), -update.rate);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAGRAD_H_
