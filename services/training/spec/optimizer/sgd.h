#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_SGD_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_SGD_H_

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/training/spec/optimizer/update.h"

namespace slipway::training {

/// Stochastic gradient descent, with momentum and Nesterov's form of it on request
/// (https://proceedings.mlr.press/v28/sutskever13.html). Steps equal PyTorch's.
struct Sgd {
  static constexpr std::string_view kType = "sgd";
  static constexpr std::array<std::string_view, 1> kState = {"momentum"};

  double learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  /// L2: added to the gradient as weight_decay * parameter.
  double weight_decay = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("learning_rate", learning_rate, {.max = 1e3, .above = 0, .required = true});
    v.Real("momentum", momentum, {.min = 0, .below = 1});
    v.Bool("nesterov", nesterov);
    v.Real("weight_decay", weight_decay, {.min = 0, .max = 1});
  }
  absl::Status Check(const std::string& path) const {
    if (nesterov && momentum == 0) return InvalidField(path + ".nesterov", "needs momentum > 0");
    return absl::OkStatus();
  }

  template <class Tensor>
  void Step(Tensor& parameter, const Tensor& gradient, std::span<Tensor> state,
            const Update& update) const {
    const bool decay = update.decays && weight_decay > 0;
    Tensor direction = decay ? gradient.add(parameter, weight_decay) : gradient;
    if (momentum > 0) {
      Tensor& velocity = state[0];
      velocity.mul_(momentum).add_(direction);
      direction = nesterov ? direction.add(velocity, momentum) : velocity;
    }
    parameter.add_(direction, -update.rate);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_SGD_H_
