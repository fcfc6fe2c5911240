#include "services/training/trainer/metrics/language.h"

#include <algorithm>
#include <cmath>

namespace slipway::trainer {

void LanguageMetrics::Add(double log_loss, int64_t right, int64_t tokens) {
  log_loss_ += log_loss * static_cast<double>(tokens);
  right_ += right;
  tokens_ += tokens;
}

double LanguageMetrics::accuracy() const {
  return static_cast<double>(right_) / static_cast<double>(std::max<int64_t>(tokens_, 1));
}

std::map<std::string, double> LanguageMetrics::Report() const {
  const double log_loss = log_loss_ / static_cast<double>(std::max<int64_t>(tokens_, 1));
  return {{"accuracy", accuracy()}, {"log_loss", log_loss}, {"perplexity", std::exp(log_loss)}};
}

}  // namespace slipway::trainer
