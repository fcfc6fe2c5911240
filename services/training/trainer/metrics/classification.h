#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_CLASSIFICATION_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_CLASSIFICATION_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace slipway::trainer {

/// Measures how a classifier does, as scikit-learn does with zero_division=0 over the classes that
/// occur. One thread.
class ClassificationMetrics {
 public:
  /// With more classes there is nothing class by class, and no ranking.
  static constexpr size_t kMaxReportedClasses = 100;
  /// With more scores in all there is no roc_auc and no pr_auc: they need every score (256 MB).
  static constexpr size_t kMaxRankedScores = size_t{1} << 26;

  explicit ClassificationMetrics(int64_t classes);

  /// `scores` [size, classes] are logits; `targets` [size]. Of equal scores the first class counts.
  void Add(std::span<const float> scores, std::span<const int64_t> targets);

  double accuracy() const;

  /// accuracy; precision, recall and f1, each "_macro", "_micro" and "_weighted"; log_loss; roc_auc
  /// and pr_auc (of the second of two classes, or the mean over classes of one against the rest);
  /// and class by class "precision/<label>", "recall/<label>", "f1/<label>" (the class's number
  /// where there are no labels). A class that was never predicted has precision 0, one that never
  /// occurs is left out of the means.
  std::map<std::string, double> Report(const std::vector<std::string>& labels) const;

  /// How often class `row` was taken for class `column`. Empty for more than kMaxReportedClasses.
  std::vector<std::vector<int64_t>> ConfusionMatrix() const;

 private:
  void AddAverages(std::map<std::string, double>& report) const;
  void AddRanking(std::map<std::string, double>& report) const;

  const size_t classes_;
  int64_t total_ = 0;
  double log_loss_ = 0;             // sum over the rows
  std::vector<int64_t> hits_;       // right ones, by class
  std::vector<int64_t> predicted_;  // how often each was said
  std::vector<int64_t> actual_;     // how often each was true
  std::vector<int64_t> confusion_;  // [actual, predicted], where classes are few
  // Row by row the log odds of each class: they order rows as probabilities do, which a float
  // cannot tell apart near 0 and 1. Empty where there are too many.
  bool ranks_;
  std::vector<float> odds_;
  std::vector<int64_t> targets_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_CLASSIFICATION_H_
