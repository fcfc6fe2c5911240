#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_COSINE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_COSINE_H_

#include <cmath>
#include <numbers>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Falls along half a cosine to `final_factor` at the end (https://arxiv.org/abs/1608.03983,
/// without restarts).
struct CosineSchedule {
  static constexpr std::string_view kType = "cosine";

  double final_factor = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("final_factor", final_factor, {.min = 0, .max = 1});
  }

  double Factor(const Moment& moment) const {
    return final_factor + (1 - final_factor) * (1 + std::cos(std::numbers::pi * moment.done())) / 2;
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_COSINE_H_
