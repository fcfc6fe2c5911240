#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_H_

#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>
#include <variant>

#include "services/training/spec/optimizer/adagrad.h"
#include "services/training/spec/optimizer/adam.h"
#include "services/training/spec/optimizer/adamw.h"
#include "services/training/spec/optimizer/gd.h"
#include "services/training/spec/optimizer/lbfgs.h"
#include "services/training/spec/optimizer/rmsprop.h"
#include "services/training/spec/optimizer/sgd.h"

namespace slipway::training {

/// The optimisers, by `type`: to add one, write its file beside these and name it here. An
/// optimiser holds its parameters and its update over any tensor type (see Loss).
///
/// `Step(parameter, gradient, state, update)` changes one parameter in place. `state` are the
/// tensors that `kState` names, shaped as the parameter and zero at first; the trainer keeps them
/// and saves them with its checkpoints. Call it without grad mode. (Lbfgs has none: see there.)
using Optimizer = std::variant<Gd, Sgd, Adagrad, RmsProp, Adam, AdamW, Lbfgs>;

inline double LearningRateOf(const Optimizer& optimizer) {
  return std::visit([](const auto& kind) { return kind.learning_rate; }, optimizer);
}

/// Names of the state tensors of one parameter.
inline std::span<const std::string_view> StateOf(const Optimizer& optimizer) {
  return std::visit([](const auto& kind) { return std::span<const std::string_view>(kind.kState); },
                    optimizer);
}

/// Whether a step takes all training rows, whatever training.batch_size is.
inline bool TakesAllRows(const Optimizer& optimizer) {
  return std::visit(
      [](const auto& kind) {
        if constexpr (requires { kind.full_batch; }) return bool{kind.full_batch};
        return false;
      },
      optimizer);
}

/// How many times the parameters' memory it keeps.
inline int64_t StateCopies(const Optimizer& optimizer) {
  // Of each step its direction and its change of the gradient; and some for the line search.
  if (const auto* lbfgs = std::get_if<Lbfgs>(&optimizer)) return 2 * lbfgs->history + 6;
  return std::ssize(StateOf(optimizer));
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_H_
