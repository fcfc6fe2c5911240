#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_ONE_CYCLE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_ONE_CYCLE_H_

#include <cmath>
#include <numbers>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Rises from `start_factor` along half a cosine for `rise_fraction` of the training, then falls
/// along another to `final_factor` (https://arxiv.org/abs/1708.07120; momentum stays).
struct OneCycleSchedule {
  static constexpr std::string_view kType = "one_cycle";

  double rise_fraction = 0.3;
  double start_factor = 0.04;
  double final_factor = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("rise_fraction", rise_fraction, {.above = 0, .below = 1});
    v.Real("start_factor", start_factor, {.max = 1, .above = 0});
    v.Real("final_factor", final_factor, {.min = 0, .max = 1});
  }

  double Factor(const Moment& moment) const {
    const double done = moment.done();
    return done < rise_fraction
               ? Between(start_factor, 1, done / rise_fraction)
               : Between(1, final_factor, (done - rise_fraction) / (1 - rise_fraction));
  }

 private:
  static double Between(double from, double to, double share) {
    return to + (from - to) * (1 + std::cos(std::numbers::pi * share)) / 2;
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_ONE_CYCLE_H_
