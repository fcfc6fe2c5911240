#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_CONSTANT_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_CONSTANT_H_

#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// The learning rate as it is.
struct ConstantSchedule {
  static constexpr std::string_view kType = "constant";

  template <class V>
  void Describe(V&) {}

  double Factor(const Moment&) const { return 1; }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_CONSTANT_H_
