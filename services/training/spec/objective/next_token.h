#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_NEXT_TOKEN_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_NEXT_TOKEN_H_

#include <string_view>

#include "services/training/spec/target_kind.h"

namespace slipway::training {

/// After each token, which one comes next.
struct NextToken {
  static constexpr std::string_view kType = "next_token";
  static constexpr TargetKind kTargets = TargetKind::kToken;

  template <class V>
  void Describe(V&) {}
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_NEXT_TOKEN_H_
