#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_MAE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_MAE_H_

#include <string_view>

#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// Mean absolute error.
struct Mae {
  static constexpr std::string_view kType = "mae";
  static constexpr TargetKind kTargets = TargetKind::kReal;

  template <class V>
  void Describe(V&) {}

  /// Mean over all values. `output` and `target` [N, values].
  template <class Tensor>
  Tensor operator()(const Tensor& output, const Tensor& target) const {
    return l1_loss(output, target);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_MAE_H_
