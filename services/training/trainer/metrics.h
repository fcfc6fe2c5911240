#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace slipway::trainer {

/// Counts how a classifier does. One thread.
class ClassificationMetrics {
 public:
  explicit ClassificationMetrics(int64_t classes);

  /// `scores` [size, classes], the larger the likelier (logits or probabilities); `targets`
  /// [size]. Of equal scores the first class counts.
  void Add(std::span<const float> scores, std::span<const int64_t> targets);

  double accuracy() const;

  /// accuracy, precision_macro, recall_macro, f1_macro, and for up to 100 classes
  /// "precision/<label>", "recall/<label>", "f1/<label>" (the class's number where there are no
  /// labels). A class that was never predicted has precision 0, one that never occurs is left out
  /// of the macro means; as scikit-learn with zero_division=0 over the classes that occur.
  std::map<std::string, double> Report(const std::vector<std::string>& labels) const;

 private:
  const int64_t classes_;
  int64_t total_ = 0;
  int64_t right_ = 0;
  std::vector<int64_t> hits_;       // right ones, by class
  std::vector<int64_t> predicted_;  // how often each was said
  std::vector<int64_t> actual_;     // how often each was true
};

/// How far predictions of numbers are off. One thread.
class RegressionMetrics {
 public:
  void Add(std::span<const float> predictions, std::span<const float> targets);

  /// mse, mae, and r2, the share of the targets' variance that is explained (0 where there is
  /// none to explain).
  std::map<std::string, double> Report() const;

 private:
  int64_t total_ = 0;
  double squares_ = 0;
  double absolute_ = 0;
  // Welford's running mean and sum of squared deviations of the targets.
  double mean_ = 0;
  double deviations_ = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_H_
