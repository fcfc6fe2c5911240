#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_PLATEAU_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_PLATEAU_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// What a plateau schedule has seen; a part of each checkpoint.
struct PlateauState {
  double factor = 1;  ///< Of the learning rate now.
  double best = std::numeric_limits<double>::infinity();
  int64_t bad_epochs = 0;  ///< In a row.
  int64_t cooldown = 0;    ///< Epochs that are not counted yet.

  template <class V>
  void Describe(V& v) {
    v.Real("factor", factor, {.min = 0, .max = 1});
    v.Real("best", best);
    v.Int("bad_epochs", bad_epochs, {.min = 0});
    v.Int("cooldown", cooldown, {.min = 0});
  }
};

/// Falls by `factor` once the loss was no better for more than `patience` epochs in a row:
/// PyTorch's ReduceLROnPlateau. The loss is that of the validation part, or where there is none of
/// the epoch.
struct PlateauSchedule {
  static constexpr std::string_view kType = "plateau";

  double factor = 0.1;
  int64_t patience = 10;
  /// The share of the best loss by which one must be lower to be better.
  double threshold = 1e-4;
  /// Epochs after each fall that do not count.
  int64_t cooldown = 0;
  /// It falls no further.
  double min_factor = 0;

  template <class V>
  void Describe(V& v) {
    v.Real("factor", factor, {.above = 0, .below = 1});
    v.Int("patience", patience, {.min = 0, .max = 1e6});
    v.Real("threshold", threshold, {.min = 0, .below = 1});
    v.Int("cooldown", cooldown, {.min = 0, .max = 1e6});
    v.Real("min_factor", min_factor, {.min = 0, .max = 1});
  }

  double Factor(const Moment& moment) const { return moment.lowered; }

  /// What follows an epoch with that loss.
  PlateauState After(PlateauState state, double loss) const {
    if (loss < state.best * (1 - threshold)) {
      state.best = loss;
      state.bad_epochs = 0;
    } else {
      ++state.bad_epochs;
    }
    if (state.cooldown > 0) {
      --state.cooldown;
      state.bad_epochs = 0;
    }
    if (state.bad_epochs > patience) {
      state.factor = std::max(state.factor * factor, min_factor);
      state.cooldown = cooldown;
      state.bad_epochs = 0;
    }
    return state;
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_PLATEAU_H_
