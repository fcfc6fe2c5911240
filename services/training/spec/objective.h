#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_H_

#include <variant>

#include "services/training/spec/objective/masked_token.h"
#include "services/training/spec/objective/next_token.h"

namespace slipway::training {

/// What is learnt of a text, by `type`: to add one, write its file beside these and name it here.
/// `kTargets` says what a loss then compares with.
using Objective = std::variant<NextToken, MaskedToken>;

inline TargetKind TargetsOf(const Objective& objective) {
  return std::visit([](const auto& kind) { return kind.kTargets; }, objective);
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OBJECTIVE_H_
