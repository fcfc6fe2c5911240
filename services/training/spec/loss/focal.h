#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_FOCAL_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_FOCAL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "services/training/spec/loss/class_weights.h"
#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// Cross-entropy of which rows that are right already count less: (1 - p)^gamma, where p is the
/// probability of the row's class (https://arxiv.org/abs/1708.02002).
struct Focal {
  static constexpr std::string_view kType = "focal";
  static constexpr TargetKind kTargets = TargetKind::kClass;

  /// 0: plain cross-entropy.
  double gamma = 2;
  /// The paper's alpha.
  ClassWeights class_weights = {};

  template <class V>
  void Describe(V& v) {
    v.Real("gamma", gamma, {.min = 0, .max = 100});
    class_weights.Describe(v);
  }
  absl::Status CheckClasses(int64_t classes, const std::string& path) const {
    return class_weights.CheckClasses(classes, path);
  }

  /// Mean over the batch, by the weights of its rows' classes. `output` [N, classes] logits,
  /// `target` [N] class indices.
  template <class Tensor>
  Tensor operator()(const Tensor& output, const Tensor& target) const {
    const Tensor log_p = output.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1);
    // Where p is 1 a power below 1 has no slope.
    constexpr double kLeastDoubt = 1e-12;
    const Tensor doubt = log_p.expm1().neg().clamp_min(kLeastDoubt);
    const Tensor losses = doubt.pow(gamma).mul(log_p).neg();
    if (class_weights.values.empty()) return losses.mean();
    const Tensor weights = class_weights.Like(output).index_select(0, target);
    return losses.mul(weights).sum().div(weights.sum());
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_FOCAL_H_
