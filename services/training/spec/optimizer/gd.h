#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_GD_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_GD_H_

#include <array>
#include <span>
#include <string_view>

#include "services/training/spec/optimizer/update.h"

namespace slipway::training {

/// Gradient descent: each step goes by the gradient of all training rows.
struct Gd {
  static constexpr std::string_view kType = "gd";
  static constexpr std::array<std::string_view, 0> kState = {};
  static constexpr bool full_batch = true;

  double learning_rate = 0.1;
  /// L2: added to the gradient as weight_decay * parameter.
  double weight_decay = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("learning_rate", learning_rate, {.max = 1e3, .above = 0, .required = true});
    v.Real("weight_decay", weight_decay, {.min = 0, .max = 1});
  }

  template <class Tensor>
  void Step(Tensor& parameter, const Tensor& gradient, std::span<Tensor>,
            const Update& update) const {
    const bool decay = update.decays && weight_decay > 0;
    parameter.add_(decay ? gradient.add(parameter, weight_decay) : gradient, -update.rate);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_GD_H_
