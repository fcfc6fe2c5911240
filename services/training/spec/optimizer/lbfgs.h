#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_LBFGS_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_LBFGS_H_

#include <array>
#include <cstdint>
#include <string_view>

#include "common/fields/field_reader.h"

namespace slipway::training {

/// Limited-memory BFGS (https://doi.org/10.1007/BF01589116), PyTorch's. Unlike the others it looks
/// at the loss several times a step and at all parameters together, so that the step is the
/// learner's to take.
struct Lbfgs {
  static constexpr std::string_view kType = "lbfgs";
  /// What it keeps is no tensor for each parameter.
  static constexpr std::array<std::string_view, 0> kState = {};

  enum class LineSearch { kStrongWolfe, kNone };
  static constexpr std::array<Name<LineSearch>, 2> kLineSearches = {
      {{"strong_wolfe", LineSearch::kStrongWolfe}, {"none", LineSearch::kNone}}};

  double learning_rate = 1;
  /// Directions that are tried in a step.
  int64_t iterations = 20;
  /// Steps that the curvature is estimated from.
  int64_t history = 10;
  LineSearch line_search = LineSearch::kStrongWolfe;
  /// A step ends where no element of the gradient is larger, or nothing changes by more.
  double gradient_tolerance = 1e-7;
  double change_tolerance = 1e-9;
  /// All training rows in each step; otherwise training.batch_size of them.
  bool full_batch = true;

  template <class V>
  void Describe(V& v) {
    v.Real("learning_rate", learning_rate, {.max = 1e3, .above = 0});
    v.Int("iterations", iterations, {.min = 1, .max = 1000});
    v.Int("history", history, {.min = 1, .max = 1000});
    v.Enum("line_search", line_search, kLineSearches);
    v.Real("gradient_tolerance", gradient_tolerance, {.min = 0, .max = 1});
    v.Real("change_tolerance", change_tolerance, {.min = 0, .max = 1});
    v.Bool("full_batch", full_batch);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_OPTIMIZER_LBFGS_H_
