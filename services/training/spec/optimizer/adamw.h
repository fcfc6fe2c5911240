#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAMW_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAMW_H_

#include <span>
#include <string_view>

#include "services/training/spec/optimizer/adam.h"

namespace slipway::training {

/// Adam whose weight decay does not go through the gradient: each step takes rate * weight_decay
/// of the parameter away (https://arxiv.org/abs/1711.05101). Steps equal PyTorch's.
struct AdamW : Adam {
  static constexpr std::string_view kType = "adamw";

  AdamW() { weight_decay = 0.01; }

  template <class Tensor>
  void Step(Tensor& parameter, const Tensor& gradient, std::span<Tensor> state,
            const Update& update) const {
    if (update.decays) parameter.mul_(1 - update.rate * weight_decay);
    Adam adam = *this;
    adam.weight_decay = 0;
    adam.Step(parameter, gradient, state, update);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_ADAMW_H_
