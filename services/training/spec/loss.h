#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_H_

#include <variant>

#include "services/training/spec/loss/cross_entropy.h"
#include "services/training/spec/loss/mse.h"

namespace slipway::training {

/// The losses, by `type`: to add one, write its file beside these and name it here. A loss holds
/// its parameters and its formula over any tensor type, so that the service checks what the
/// trainer computes and yet links no torch. `kTargets` says what it compares with; calling it
/// gives the mean loss of a batch:
///
///     torch::Tensor value = std::visit([&](const auto& l) { return l(output, target); }, loss);
using Loss = std::variant<CrossEntropy, Mse>;

inline TargetKind TargetsOf(const Loss& loss) {
  return std::visit([](const auto& kind) { return kind.kTargets; }, loss);
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_H_
