#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_UPDATE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_UPDATE_H_

#include <cstdint>

namespace slipway::training {

/// Beside the gradient, what an optimiser needs to know for one update of one parameter.
struct Update {
  /// Of the training; the first is 1.
  int64_t step = 1;
  /// The learning rate now: the optimiser's, times the schedule's factor.
  double rate = 0;
  /// Whether weight decay applies (nn::Parameter::decays).
  bool decays = true;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_UPDATE_H_
