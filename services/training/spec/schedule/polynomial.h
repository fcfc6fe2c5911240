#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_POLYNOMIAL_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_POLYNOMIAL_H_

#include <cmath>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Falls to `final_factor` at the end: along a line, or a power of what is left.
struct PolynomialSchedule {
  static constexpr std::string_view kType = "polynomial";

  double power = 1;
  double final_factor = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("power", power, {.max = 100, .above = 0});
    v.Real("final_factor", final_factor, {.min = 0, .max = 1});
  }

  double Factor(const Moment& moment) const {
    return final_factor + (1 - final_factor) * std::pow(1 - moment.done(), power);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_POLYNOMIAL_H_
