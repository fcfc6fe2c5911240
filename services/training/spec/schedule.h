#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_H_

#include <string>
#include <variant>

#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"
#include "services/training/spec/schedule/constant.h"
#include "services/training/spec/schedule/cosine.h"
#include "services/training/spec/schedule/exponential.h"
#include "services/training/spec/schedule/inverse_sqrt.h"
#include "services/training/spec/schedule/one_cycle.h"
#include "services/training/spec/schedule/plateau.h"
#include "services/training/spec/schedule/polynomial.h"
#include "services/training/spec/schedule/step.h"

namespace slipway::training {

/// What becomes of the learning rate, by `type`: to add one, write its file beside these and name
/// it here. A pure function of how far the training is, so that a resumed run has nothing to
/// restore; but for PlateauState.
using Decay =
    std::variant<ConstantSchedule, StepSchedule, ExponentialSchedule, CosineSchedule,
                 OneCycleSchedule, InverseSqrtSchedule, PolynomialSchedule, PlateauSchedule>;

/// `schedule` of a job spec: a linear rise, which any type may begin with, then the type's own
/// course over the steps that are left.
struct Schedule {
  Decay decay;
  double warmup_epochs = 0;
};

/// {"type": "cosine", "warmup_epochs": 1, ...}. Errors: InvalidField below `path`.
absl::StatusOr<Schedule> ParseSchedule(const nlohmann::json& object, const std::string& path);

/// What the learning rate is multiplied with at `moment`.
double RateFactor(const Schedule& schedule, const Moment& moment);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_H_
