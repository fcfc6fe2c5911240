#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_RMSPROP_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_RMSPROP_H_

#include <array>
#include <span>
#include <string_view>

#include "services/training/spec/optimizer/update.h"

namespace slipway::training {

/// RMSprop (https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf), with
/// momentum on request. Steps equal PyTorch's.
struct RmsProp {
  static constexpr std::string_view kType = "rmsprop";
  static constexpr std::array<std::string_view, 2> kState = {"square", "momentum"};

  double learning_rate = 0.01;
  /// Of the mean square.
  double alpha = 0.99;
  double epsilon = 1e-8;
  double momentum = 0;
  /// L2: added to the gradient as weight_decay * parameter.
  double weight_decay = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("learning_rate", learning_rate, {.max = 1e3, .above = 0, .required = true});
    v.Real("alpha", alpha, {.min = 0, .below = 1});
    v.Real("epsilon", epsilon, {.max = 1, .above = 0});
    v.Real("momentum", momentum, {.min = 0, .below = 1});
    v.Real("weight_decay", weight_decay, {.min = 0, .max = 1});
  }

  template <class Tensor>
  void Step(Tensor& parameter, const Tensor& gradient, std::span<Tensor> state,
            const Update& update) const {
    const bool decay = update.decays && weight_decay > 0;
    const Tensor direction = decay ? gradient.add(parameter, weight_decay) : gradient;
    Tensor& square = state[0];
    square.mul_(alpha).addcmul_(direction, direction, 1 - alpha);
    const Tensor root = square.sqrt().add_(epsilon);
    if (momentum == 0) {
      parameter.addcdiv_(direction, root, -update.rate);
      return;
    }
    Tensor& velocity = state[1];
    velocity.mul_(momentum).addcdiv_(direction, root);
    parameter.add_(velocity, -update.rate);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_RMSPROP_H_
