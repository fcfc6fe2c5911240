#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_H_

#include <variant>

#include "services/training/spec/schedule/constant.h"
#include "services/training/spec/schedule/cosine.h"
#include "services/training/spec/schedule/step.h"

namespace slipway::training {

/// The schedules of the learning rate, by `type`: to add one, write its file beside these and
/// name it here. A schedule is a pure function of how far the training is, so that a resumed run
/// has nothing to restore.
using Schedule = std::variant<ConstantSchedule, StepSchedule, CosineSchedule>;

/// What the learning rate is multiplied with at `moment`.
inline double RateFactor(const Schedule& schedule, const Moment& moment) {
  return std::visit([&](const auto& kind) { return kind.Factor(moment); }, schedule);
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_H_
