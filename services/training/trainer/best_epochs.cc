#include "services/training/trainer/best_epochs.h"

#include <algorithm>
#include <cmath>

namespace slipway::trainer {

void BestEpochs::Add(int64_t step, double metric, bool higher_is_better, size_t most) {
  if (!std::isfinite(metric)) return;
  const auto worse = std::find_if(metrics.begin(), metrics.end(), [&](double other) {
    return higher_is_better ? other < metric : other > metric;
  });
  const auto place = worse - metrics.begin();
  metrics.insert(worse, metric);
  steps.insert(steps.begin() + place, step);
  metrics.resize(std::min(most, metrics.size()));
  steps.resize(metrics.size());
}

}  // namespace slipway::trainer
