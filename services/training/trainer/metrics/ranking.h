#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_RANKING_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_RANKING_H_

#include <optional>
#include <vector>

namespace slipway::trainer {

/// A row as a ranking sees it: how likely it was held to be positive, and whether it is.
struct Ranked {
  float score;  // the larger the likelier
  bool positive;
};

/// How well scores put the positive rows before the others.
struct RankingQuality {
  /// The probability that a positive row has a larger score than another; equal scores count half.
  double roc_auc;
  /// Average precision, as scikit-learn's average_precision_score.
  double pr_auc;
};

/// Absent where all rows are positive, or none. Puts `rows` into order.
std::optional<RankingQuality> JudgeRanking(std::vector<Ranked>& rows);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_RANKING_H_
