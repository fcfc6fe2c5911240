#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_COSINE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_COSINE_H_

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Rises linearly for `warmup_epochs`, then falls along half a cosine to `final_factor` at the
/// end (https://arxiv.org/abs/1608.03983, without restarts).
struct CosineSchedule {
  static constexpr std::string_view kType = "cosine";

  double warmup_epochs = 0;
  double final_factor = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("warmup_epochs", warmup_epochs, {.min = 0, .max = 1e6});
    v.Real("final_factor", final_factor, {.min = 0, .max = 1});
  }

  double Factor(const Moment& moment) const {
    const double warmup = warmup_epochs * static_cast<double>(moment.steps_per_epoch);
    const double step = static_cast<double>(moment.step);
    // The first step of a warm-up moves too: it has 1/warmup, not 0.
    if (step + 1 < warmup) return (step + 1) / warmup;
    const double length = std::max(1.0, static_cast<double>(moment.steps) - warmup);
    const double done = std::clamp((step - warmup) / length, 0.0, 1.0);
    return final_factor + (1 - final_factor) * (1 + std::cos(std::numbers::pi * done)) / 2;
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_COSINE_H_
