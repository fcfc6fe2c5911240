#include "services/training/trainer/divergence_watch.h"

#include <cmath>

#include "fmt/format.h"

namespace slipway::trainer {
namespace {

// The average's memory is about 50 steps.
constexpr double kDecay = 0.98;

}  // namespace

absl::Status DivergenceWatch::Add(double loss, const training::v1::DivergenceSpec& limits) {
  ++steps;
  if (steps == 1) first = loss;
  average = kDecay * average + (1 - kDecay) * loss;
  const double smoothed = average / (1 - std::pow(kDecay, static_cast<double>(steps)));
  if (smoothed < best) {
    best = smoothed;
    best_step = steps;
  }
  const bool above = limits.factor() > 0 && smoothed > limits.factor() * best && smoothed > first;
  steps_above = above ? steps_above + 1 : 0;
  if (steps_above == 0 || steps_above < limits.steps()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "the training diverged: at step {} the loss (smoothed) is {:.4g}, and has been more than "
      "{:.4g} times its best, {:.4g} at step {}, for {} steps; try a smaller "
      "spec.optimizer.learning_rate, spec.schedule.warmup_epochs or spec.training.clip_norm "
      "(spec.training.divergence says how much is let pass)",
      steps, smoothed, limits.factor(), best, best_step, steps_above));
}

}  // namespace slipway::trainer
