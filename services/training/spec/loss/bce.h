#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_BCE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_BCE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "fmt/format.h"
#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// Binary cross-entropy with logits. The logit of class 1 is what it is ahead of class 0: its
/// sigmoid is class 1's share of the softmax, which is what a served model answers.
struct Bce {
  static constexpr std::string_view kType = "bce";
  static constexpr TargetKind kTargets = TargetKind::kClass;

  /// How much a row of class 1 counts; one of class 0 counts 1.
  double positive_weight = 1;

  template <class V>
  void Describe(V& v) {
    v.Real("positive_weight", positive_weight, {.max = 1e6, .above = 0});
  }
  absl::Status CheckClasses(int64_t classes, const std::string& path) const {
    if (classes == 2) return absl::OkStatus();
    return InvalidField(path + ".type",
                        fmt::format("bce tells two classes apart, and the data has {}; use "
                                    "cross_entropy",
                                    classes));
  }

  /// Mean over the batch. `output` [N, 2] logits, `target` [N] class indices.
  template <class Tensor>
  Tensor operator()(const Tensor& output, const Tensor& target) const {
    const Tensor logit = output.select(1, 1) - output.select(1, 0);
    return binary_cross_entropy_with_logits(logit, target.type_as(logit), /*weight=*/{},
                                            logit.new_full({}, positive_weight));
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_BCE_H_
