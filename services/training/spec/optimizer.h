#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_H_

#include <span>
#include <string_view>
#include <variant>

#include "services/training/spec/optimizer/adagrad.h"
#include "services/training/spec/optimizer/adam.h"
#include "services/training/spec/optimizer/adamw.h"
#include "services/training/spec/optimizer/rmsprop.h"
#include "services/training/spec/optimizer/sgd.h"

namespace slipway::training {

/// The optimisers, by `type`: to add one, write its file beside these and name it here. An
/// optimiser holds its parameters and its update over any tensor type (see Loss).
///
/// `Step(parameter, gradient, state, update)` changes one parameter in place. `state` are the
/// tensors that `kState` names, shaped as the parameter and zero at first; the trainer keeps them
/// and saves them with its checkpoints. Call it without grad mode.
using Optimizer = std::variant<Sgd, Adagrad, RmsProp, Adam, AdamW>;

inline double LearningRateOf(const Optimizer& optimizer) {
  return std::visit([](const auto& kind) { return kind.learning_rate; }, optimizer);
}

/// Names of the state tensors of one parameter.
inline std::span<const std::string_view> StateOf(const Optimizer& optimizer) {
  return std::visit([](const auto& kind) { return std::span<const std::string_view>(kind.kState); },
                    optimizer);
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_H_
