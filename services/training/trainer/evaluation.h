#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_EVALUATION_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_EVALUATION_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/nn/model_description.h"
#include "common/status/status.h"
#include "services/training/trainer/data/examples.h"
#include "services/training/trainer/learner.h"
#include "services/training/trainer/metrics/classification.h"
#include "services/training/trainer/metrics/language.h"
#include "services/training/trainer/metrics/regression.h"

namespace slipway::trainer {

/// What a model scores on some rows.
struct Score {
  int64_t rows = 0;
  double loss = 0;  // mean over the rows
  /// One of the three, by the task.
  std::optional<ClassificationMetrics> classes;
  std::optional<LanguageMetrics> tokens;
  RegressionMetrics numbers;

  /// Of classes or tokens; absent for numbers.
  std::optional<double> accuracy() const;

  /// By name, the loss as "loss". `labels` are the classes', by index.
  std::map<std::string, double> Report(const std::vector<std::string>& labels) const;
};

/// Lets `learner` judge `rows` of `examples`, changed by `change` where that is not empty;
/// `outputs` is the number of classes or tokens, or 1. Errors: the learner's.
absl::StatusOr<Score> Evaluate(Learner& learner, nn::Task task, int64_t outputs,
                               const Examples& examples, const std::vector<int64_t>& rows,
                               const BatchChange& change = {});

/// A loss or a metric that is no number cannot be registered, nor be held against anything.
/// Errors: kFailedPrecondition, which names it.
absl::Status CheckFinite(const std::map<std::string, double>& metrics);

/// `score` and its `metrics` as JSON for people, for classes with the confusion matrix.
std::string PrintEvaluation(const Score& score, const std::map<std::string, double>& metrics,
                            const std::vector<std::string>& labels);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_EVALUATION_H_
