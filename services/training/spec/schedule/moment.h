#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_MOMENT_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_MOMENT_H_

#include <cstdint>

namespace slipway::training {

/// How far a training is.
struct Moment {
  int64_t step = 0;             ///< Steps done: 0 at the first one.
  int64_t steps = 1;            ///< Of the whole training; at least 1.
  int64_t steps_per_epoch = 1;  ///< At least 1.
  double lowered = 1;           ///< PlateauState::factor.

  double epoch() const { return static_cast<double>(step) / static_cast<double>(steps_per_epoch); }

  /// The share of the training that is done, 0 to 1.
  double done() const {
    return step >= steps ? 1 : static_cast<double>(step) / static_cast<double>(steps);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_MOMENT_H_
