#include "services/training/trainer/metrics/classification.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "fmt/format.h"
#include "services/training/trainer/metrics/ranking.h"

namespace slipway::trainer {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double Ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// log(exp(a) + exp(b))
double LogAdd(double a, double b) {
  const double larger = std::max(a, b);
  if (larger == kNever) return kNever;
  return larger + std::log1p(std::exp(std::min(a, b) - larger));
}

// For each class the logarithm of the sum of the others' exponentials. In two sweeps: taking one
// class out of the sum of all would lose the others where that one is all but certain.
void LogSumsOfOthers(std::span<const float> scores, std::vector<double>& others) {
  others.assign(scores.size(), kNever);
  double before = kNever;
  for (size_t c = 0; c < scores.size(); ++c) {
    others[c] = before;
    before = LogAdd(before, scores[c]);
  }
  double behind = kNever;
  for (size_t c = scores.size(); c-- > 0;) {
    others[c] = LogAdd(others[c], behind);
    behind = LogAdd(behind, scores[c]);
  }
}

// precision, recall and f1 of a class, or of several together.
struct Quality {
  double precision = 0;
  double recall = 0;
  double f1 = 0;

  static Quality Of(int64_t hits, int64_t predicted, int64_t actual) {
    return {Ratio(hits, predicted), Ratio(hits, actual), Ratio(2 * hits, predicted + actual)};
  }
  void Add(const Quality& other, double weight) {
    precision += weight * other.precision;
    recall += weight * other.recall;
    f1 += weight * other.f1;
  }
  void Put(std::string_view suffix, std::map<std::string, double>& report) const {
    report[fmt::format("precision{}", suffix)] = precision;
    report[fmt::format("recall{}", suffix)] = recall;
    report[fmt::format("f1{}", suffix)] = f1;
  }
};

}  // namespace

ClassificationMetrics::ClassificationMetrics(int64_t classes)
    : classes_(static_cast<size_t>(classes)),
      hits_(classes_),
      predicted_(classes_),
      actual_(classes_),
      confusion_(classes_ <= kMaxReportedClasses ? classes_ * classes_ : 0),
      ranks_(classes_ <= kMaxReportedClasses) {}

void ClassificationMetrics::Add(std::span<const float> scores, std::span<const int64_t> targets) {
  if (ranks_ && odds_.size() + scores.size() > kMaxRankedScores) {
    ranks_ = false;
    odds_ = {};
    targets_ = {};
  }
  std::vector<double> others;
  for (size_t row = 0; row < targets.size(); ++row) {
    const auto line = scores.subspan(row * classes_, classes_);
    const auto best =
        static_cast<size_t>(std::max_element(line.begin(), line.end()) - line.begin());
    const auto target = static_cast<size_t>(targets[row]);
    ++total_;
    ++predicted_[best];
    ++actual_[target];
    if (best == target) ++hits_[target];
    if (!confusion_.empty()) ++confusion_[target * classes_ + best];
    LogSumsOfOthers(line, others);
    log_loss_ += LogAdd(line[target], others[target]) - line[target];
    if (!ranks_) continue;
    for (size_t c = 0; c < classes_; ++c) {
      const auto odds = static_cast<float>(line[c] - others[c]);
      // What is no number has no place in an order.
      odds_.push_back(std::isnan(odds) ? static_cast<float>(kNever) : odds);
    }
    targets_.push_back(targets[row]);
  }
}

double ClassificationMetrics::accuracy() const {
  int64_t right = 0;
  for (const int64_t hits : hits_) right += hits;
  return Ratio(right, total_);
}

std::map<std::string, double> ClassificationMetrics::Report(
    const std::vector<std::string>& labels) const {
  std::map<std::string, double> report = {
      {"accuracy", accuracy()},
      {"log_loss", log_loss_ / static_cast<double>(std::max<int64_t>(total_, 1))}};
  AddAverages(report);
  AddRanking(report);
  if (classes_ > kMaxReportedClasses) return report;
  for (size_t c = 0; c < classes_; ++c) {
    const std::string label = c < labels.size() ? labels[c] : fmt::format("{}", c);
    Quality::Of(hits_[c], predicted_[c], actual_[c]).Put("/" + label, report);
  }
  return report;
}

void ClassificationMetrics::AddAverages(std::map<std::string, double>& report) const {
  Quality macro;
  Quality weighted;
  const auto present = std::count_if(actual_.begin(), actual_.end(), [](int64_t n) { return n; });
  for (size_t c = 0; c < classes_; ++c) {
    if (actual_[c] == 0) continue;
    const Quality quality = Quality::Of(hits_[c], predicted_[c], actual_[c]);
    macro.Add(quality, 1 / static_cast<double>(present));
    weighted.Add(quality, Ratio(actual_[c], total_));
  }
  macro.Put("_macro", report);
  weighted.Put("_weighted", report);
  // Of all classes together: every row is one prediction and one truth.
  Quality{accuracy(), accuracy(), accuracy()}.Put("_micro", report);
}

void ClassificationMetrics::AddRanking(std::map<std::string, double>& report) const {
  double roc_auc = 0;
  double pr_auc = 0;
  int ranked = 0;
  std::vector<Ranked> rows(targets_.size());
  for (size_t c = classes_ == 2 ? 1 : 0; c < classes_; ++c) {
    for (size_t row = 0; row < rows.size(); ++row) {
      rows[row] = {odds_[row * classes_ + c], targets_[row] == static_cast<int64_t>(c)};
    }
    const std::optional<RankingQuality> quality = JudgeRanking(rows);
    if (!quality.has_value()) continue;
    roc_auc += quality->roc_auc;
    pr_auc += quality->pr_auc;
    ++ranked;
  }
  if (ranked == 0) return;
  report["roc_auc"] = roc_auc / ranked;
  report["pr_auc"] = pr_auc / ranked;
}

std::vector<std::vector<int64_t>> ClassificationMetrics::ConfusionMatrix() const {
  std::vector<std::vector<int64_t>> rows;
  for (size_t at = 0; at < confusion_.size(); at += classes_) {
    rows.emplace_back(confusion_.begin() + static_cast<ptrdiff_t>(at),
                      confusion_.begin() + static_cast<ptrdiff_t>(at + classes_));
  }
  return rows;
}

}  // namespace slipway::trainer
