#include "services/training/trainer/metrics/regression.h"

#include <algorithm>
#include <cmath>

namespace slipway::trainer {

void RegressionMetrics::Add(std::span<const float> predictions, std::span<const float> targets) {
  for (size_t i = 0; i < targets.size(); ++i) {
    const double target = targets[i];
    const double error = predictions[i] - target;
    squares_ += error * error;
    absolute_ += std::abs(error);
    ++total_;
    const double delta = target - mean_;
    mean_ += delta / static_cast<double>(total_);
    deviations_ += delta * (target - mean_);
  }
}

std::map<std::string, double> RegressionMetrics::Report() const {
  const double count = static_cast<double>(std::max<int64_t>(total_, 1));
  return {{"mse", squares_ / count},
          {"mae", absolute_ / count},
          {"r2", deviations_ > 0 ? 1 - squares_ / deviations_ : 0}};
}

}  // namespace slipway::trainer
