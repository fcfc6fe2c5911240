#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_STEP_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_STEP_H_

#include <cmath>
#include <cstdint>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Multiplies by `gamma` after each `every_epochs` epochs.
struct StepSchedule {
  static constexpr std::string_view kType = "step";

  int64_t every_epochs = 1;
  double gamma = 0.1;

  template <class V>
  void Describe(V& v) {
    v.Int("every_epochs", every_epochs, {.min = 1, .max = 1e6, .required = true});
    v.Real("gamma", gamma, {.max = 1, .above = 0});
  }

  double Factor(const Moment& moment) const {
    return std::pow(gamma, moment.step / (every_epochs * moment.steps_per_epoch));
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_STEP_H_
