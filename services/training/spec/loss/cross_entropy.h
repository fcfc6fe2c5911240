#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_CROSS_ENTROPY_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_CROSS_ENTROPY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "services/training/spec/loss/class_weights.h"
#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// Cross-entropy of the softmax over classes.
struct CrossEntropy {
  static constexpr std::string_view kType = "cross_entropy";
  static constexpr TargetKind kTargets = TargetKind::kClass;

  /// Share of the target that is spread over all classes (https://arxiv.org/abs/1512.00567).
  double label_smoothing = 0;
  ClassWeights class_weights = {};

  template <class V>
  void Describe(V& v) {
    v.Real("label_smoothing", label_smoothing, {.min = 0, .below = 1});
    class_weights.Describe(v);
  }
  absl::Status CheckClasses(int64_t classes, const std::string& path) const {
    return class_weights.CheckClasses(classes, path);
  }

  /// Mean over the batch, by the weights of its rows' classes. `output` [N, classes] logits,
  /// `target` [N] class indices.
  template <class Tensor>
  Tensor operator()(const Tensor& output, const Tensor& target) const {
    constexpr int kMean = 1;
    constexpr int kIgnoreNone = -100;
    return cross_entropy_loss(output, target, class_weights.Like(output), kMean, kIgnoreNone,
                              label_smoothing);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_CROSS_ENTROPY_H_
