#include "services/training/trainer/metrics.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"

namespace slipway::trainer {
namespace {

constexpr int64_t kMaxReportedClasses = 100;

double Ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

ClassificationMetrics::ClassificationMetrics(int64_t classes)
    : classes_(classes),
      hits_(static_cast<size_t>(classes)),
      predicted_(static_cast<size_t>(classes)),
      actual_(static_cast<size_t>(classes)) {}

void ClassificationMetrics::Add(std::span<const float> scores, std::span<const int64_t> targets) {
  const auto width = static_cast<size_t>(classes_);
  for (size_t row = 0; row < targets.size(); ++row) {
    const auto line = scores.subspan(row * width, width);
    const auto best =
        static_cast<size_t>(std::max_element(line.begin(), line.end()) - line.begin());
    const auto target = static_cast<size_t>(targets[row]);
    ++predicted_[best];
    ++actual_[target];
    if (best == target) {
      ++hits_[target];
      ++right_;
    }
    ++total_;
  }
}

double ClassificationMetrics::accuracy() const { return Ratio(right_, total_); }

std::map<std::string, double> ClassificationMetrics::Report(
    const std::vector<std::string>& labels) const {
  std::map<std::string, double> report = {{"accuracy", accuracy()}};
  double precisions = 0;
  double recalls = 0;
  double f1s = 0;
  int64_t present = 0;
  for (size_t c = 0; c < actual_.size(); ++c) {
    const double precision = Ratio(hits_[c], predicted_[c]);
    const double recall = Ratio(hits_[c], actual_[c]);
    const double f1 = Ratio(2 * hits_[c], predicted_[c] + actual_[c]);
    if (actual_[c] > 0) {
      precisions += precision;
      recalls += recall;
      f1s += f1;
      ++present;
    }
    if (classes_ > kMaxReportedClasses) continue;
    const std::string label = c < labels.size() ? labels[c] : fmt::format("{}", c);
    report["precision/" + label] = precision;
    report["recall/" + label] = recall;
    report["f1/" + label] = f1;
  }
  const double count = static_cast<double>(std::max<int64_t>(present, 1));
  report["precision_macro"] = precisions / count;
  report["recall_macro"] = recalls / count;
  report["f1_macro"] = f1s / count;
  return report;
}

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
