#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_MASKED_TOKEN_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_MASKED_TOKEN_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// Which tokens were hidden, by those around them (BERT, https://arxiv.org/abs/1810.04805, 3.1).
struct MaskedToken {
  static constexpr std::string_view kType = "masked_token";
  static constexpr TargetKind kTargets = TargetKind::kMaskedToken;

  /// The share of a row's tokens that are asked for.
  double mask_probability = 0.15;

  template <class V>
  void Describe(V& v) {
    v.Real("mask_probability", mask_probability, {.above = 0, .below = 1});
  }

  /// How many tokens of a row of so many are asked for: of each row as many, so that rows count
  /// alike in whichever batch or process they are.
  int64_t CountOf(int64_t length) const {
    return std::max<int64_t>(1, std::lround(mask_probability * static_cast<double>(length)));
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_MASKED_TOKEN_H_
