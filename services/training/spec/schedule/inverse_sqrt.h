#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_INVERSE_SQRT_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_INVERSE_SQRT_H_

#include <cmath>
#include <string_view>

#include "services/training/spec/schedule/moment.h"

namespace slipway::training {

/// Falls as one over the square root of time. With `timescale_epochs` as long as the warm-up it is
/// the Transformer's (https://arxiv.org/abs/1706.03762, 5.3).
struct InverseSqrtSchedule {
  static constexpr std::string_view kType = "inverse_sqrt";

  /// After three times this it is at a half.
  double timescale_epochs = 1;

  template <class V>
  void Describe(V& v) {
    v.Real("timescale_epochs", timescale_epochs, {.max = 1e6, .above = 0});
  }

  double Factor(const Moment& moment) const {
    return 1 / std::sqrt(1 + moment.epoch() / timescale_epochs);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SCHEDULE_INVERSE_SQRT_H_
