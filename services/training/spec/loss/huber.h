#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_HUBER_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_HUBER_H_

#include <string_view>

#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// Half the square of errors up to `delta`, and a line beyond, so that outliers pull less
/// (https://doi.org/10.1214/aoms/1177703732).
struct Huber {
  static constexpr std::string_view kType = "huber";
  static constexpr TargetKind kTargets = TargetKind::kReal;

  double delta = 1;

  template <class V>
  void Describe(V& v) {
    v.Real("delta", delta, {.max = 1e12, .above = 0});
  }

  /// Mean over all values. `output` and `target` [N, values].
  template <class Tensor>
  Tensor operator()(const Tensor& output, const Tensor& target) const {
    constexpr int kMean = 1;
    return huber_loss(output, target, kMean, delta);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_HUBER_H_
