#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_EXPONENTIAL_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_EXPONENTIAL_H_

#include <cmath>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Falls a little each step: by `gamma` over each epoch.
struct ExponentialSchedule {
  static constexpr std::string_view kType = "exponential";

  double gamma = 0.9;

  template <class V>
  void Describe(V& v) {
    v.Real("gamma", gamma, {.max = 1, .above = 0, .required = true});
  }

  double Factor(const Moment& moment) const { return std::pow(gamma, moment.epoch()); }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_EXPONENTIAL_H_
