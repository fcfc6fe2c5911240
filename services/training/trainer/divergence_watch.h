#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DIVERGENCE_WATCH_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DIVERGENCE_WATCH_H_

#include <cstdint>
#include <limits>

#include "common/status/status.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::trainer {

/// Sees that a loss has left its course though it is still a number: smoothed, it has been many
/// times its best, and above where it began, for many steps in a row. (The second keeps a loss that
/// has come close to 0 from being called lost for a ripple.) A value: a part of each checkpoint.
struct DivergenceWatch {
  double average = 0;  ///< Exponential, not yet corrected for its start at 0.
  int64_t steps = 0;
  double first = 0;  ///< The loss of the first step.
  double best = std::numeric_limits<double>::infinity();
  int64_t best_step = 0;
  int64_t steps_above = 0;  ///< In a row.

  template <class V>
  void Describe(V& v) {
    v.Real("average", average);
    v.Int("steps", steps, {.min = 0});
    v.Real("first", first);
    v.Real("best", best);
    v.Int("best_step", best_step, {.min = 0});
    v.Int("steps_above", steps_above, {.min = 0});
  }

  /// Takes the loss of the next step. Errors: kFailedPrecondition, the verdict for the job's owner.
  absl::Status Add(double loss, const training::v1::DivergenceSpec& limits);
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DIVERGENCE_WATCH_H_
