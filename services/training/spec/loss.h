#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_H_

#include <cstdint>
#include <string>
#include <variant>

#include "common/status/status.h"
#include "services/training/spec/loss/bce.h"
#include "services/training/spec/loss/cross_entropy.h"
#include "services/training/spec/loss/focal.h"
#include "services/training/spec/loss/huber.h"
#include "services/training/spec/loss/mae.h"
#include "services/training/spec/loss/mse.h"

namespace slipway::training {

/// The losses, by `type`: to add one, write its file beside these and name it here. A loss holds
/// its parameters and its formula over any tensor type, so that the service checks what the
/// trainer computes and yet links no torch. `kTargets` says what it compares with; calling it
/// gives the mean loss of a batch:
///
///     torch::Tensor value = std::visit([&](const auto& l) { return l(output, target); }, loss);
using Loss = std::variant<CrossEntropy, Bce, Focal, Mse, Mae, Huber>;

inline TargetKind TargetsOf(const Loss& loss) {
  return std::visit([](const auto& kind) { return kind.kTargets; }, loss);
}

/// Whether data of so many classes fits a loss of classes, which only the data can tell. Errors:
/// InvalidField below `path`.
inline absl::Status CheckClasses(const Loss& loss, int64_t classes, const std::string& path) {
  return std::visit(
      [&](const auto& kind) -> absl::Status {
        if constexpr (requires { kind.CheckClasses(classes, path); }) {
          return kind.CheckClasses(classes, path);
        }
        return absl::OkStatus();
      },
      loss);
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_H_
