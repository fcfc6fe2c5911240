#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_REGRESSION_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_REGRESSION_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace slipway::trainer {

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

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_REGRESSION_H_
