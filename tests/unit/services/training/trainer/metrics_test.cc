#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/metrics/classification.h"
#include "services/training/trainer/metrics/language.h"
#include "services/training/trainer/metrics/ranking.h"
#include "services/training/trainer/metrics/regression.h"
#include "tests/support/places.h"

namespace slipway::trainer {
namespace {

using nlohmann::json;

// What make_metrics.py recorded of scikit-learn.
json Recorded() {
  return json::parse(ReadFile(SourceFile("tests/fixtures/metrics/metrics.json").string()).value());
}

void ExpectAlike(const std::map<std::string, double>& report, const json& expected) {
  for (const auto& [name, value] : expected.items()) {
    ASSERT_TRUE(report.contains(name)) << name;
    EXPECT_NEAR(report.at(name), value.get<double>(), 1e-9 * (1 + std::abs(value.get<double>())))
        << name;
  }
  EXPECT_EQ(report.size(), expected.size());
}

// Scores whose largest is at `predicted`.
std::vector<float> OneHot(const std::vector<int>& predicted, int classes) {
  std::vector<float> scores;
  for (const int p : predicted) {
    for (int c = 0; c < classes; ++c) scores.push_back(c == p ? 2.f : -1.f);
  }
  return scores;
}

TEST(ClassificationMetricsTest, EqualScikitLearns) {
  const json cases = Recorded()["classification"];
  ASSERT_GT(cases.size(), 5u);
  for (const json& recorded : cases) {
    SCOPED_TRACE(recorded["name"].get<std::string>());
    const auto classes = recorded["classes"].get<int64_t>();
    const auto scores = recorded["scores"].get<std::vector<float>>();
    const auto targets = recorded["targets"].get<std::vector<int64_t>>();
    ClassificationMetrics metrics(classes);
    // In two batches.
    const size_t first = targets.size() / 3;
    const size_t cut = first * static_cast<size_t>(classes);
    metrics.Add(std::span(scores).first(cut), std::span(targets).first(first));
    metrics.Add(std::span(scores).subspan(cut), std::span(targets).subspan(first));
    ExpectAlike(metrics.Report({}), recorded["metrics"]);
    EXPECT_EQ(json(metrics.ConfusionMatrix()), recorded["confusion_matrix"]);
  }
}

TEST(ClassificationMetricsTest, NamesClassesByTheirLabels) {
  ClassificationMetrics metrics(3);
  metrics.Add(OneHot({0, 0, 1, 1, 2, 2}, 3), std::vector<int64_t>{0, 0, 0, 1, 1, 2});
  const auto report = metrics.Report({"shirt", "bag", "boot"});
  EXPECT_DOUBLE_EQ(report.at("precision/bag"), 0.5);
  EXPECT_DOUBLE_EQ(report.at("recall/shirt"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(report.at("f1/boot"), 2.0 / 3);
}

TEST(ClassificationMetricsTest, LeavesAbsentClassesOutOfTheMeans) {
  ClassificationMetrics metrics(3);
  metrics.Add(OneHot({0, 2}, 3), std::vector<int64_t>{0, 0});
  const auto report = metrics.Report({});
  EXPECT_DOUBLE_EQ(report.at("recall_macro"), 0.5);
  EXPECT_DOUBLE_EQ(report.at("precision/2"), 0);
  EXPECT_DOUBLE_EQ(report.at("f1/1"), 0);
  EXPECT_FALSE(report.contains("roc_auc")) << "every row is of one class";
}

TEST(ClassificationMetricsTest, ReportsClassByClassOnlyWhereTheyAreFew) {
  EXPECT_TRUE(ClassificationMetrics(100).Report({}).contains("f1/99"));
  EXPECT_EQ(ClassificationMetrics(100).ConfusionMatrix().size(), 100u);
  ClassificationMetrics many(101);
  many.Add(std::vector<float>(202), std::vector<int64_t>{0, 100});
  EXPECT_FALSE(many.Report({}).contains("f1/99"));
  EXPECT_FALSE(many.Report({}).contains("roc_auc"));
  EXPECT_TRUE(many.ConfusionMatrix().empty());
  EXPECT_NEAR(many.Report({}).at("log_loss"), std::log(101.0), 1e-12);
  EXPECT_EQ(ClassificationMetrics(2).Report({}).at("accuracy"), 0);
}

TEST(ClassificationMetricsTest, ScoresThatAreNoNumbersDoNotBreakTheOrder) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ClassificationMetrics metrics(2);
  std::vector<float> scores;
  std::vector<int64_t> targets;
  for (int i = 0; i < 100; ++i) {
    scores.insert(scores.end(), {i % 3 == 0 ? nan : 0.f, i % 5 == 0 ? nan : static_cast<float>(i)});
    targets.push_back(i % 2);
  }
  metrics.Add(scores, targets);
  EXPECT_TRUE(std::isfinite(metrics.Report({}).at("roc_auc")));
  EXPECT_TRUE(std::isnan(metrics.Report({}).at("log_loss")));
}

TEST(JudgeRankingTest, KnowsThePerfectTheReversedAndTheBlind) {
  std::vector<Ranked> perfect = {{0.1f, false}, {0.9f, true}, {0.2f, false}, {0.8f, true}};
  EXPECT_EQ(JudgeRanking(perfect)->roc_auc, 1);
  EXPECT_EQ(JudgeRanking(perfect)->pr_auc, 1);
  std::vector<Ranked> reversed = {{0.9f, false}, {0.1f, true}};
  EXPECT_EQ(JudgeRanking(reversed)->roc_auc, 0);
  EXPECT_EQ(JudgeRanking(reversed)->pr_auc, 0.5);
  std::vector<Ranked> blind = {{0.5f, false}, {0.5f, true}, {0.5f, true}, {0.5f, false}};
  EXPECT_EQ(JudgeRanking(blind)->roc_auc, 0.5);
  EXPECT_EQ(JudgeRanking(blind)->pr_auc, 0.5);
  std::vector<Ranked> one_kind = {{0.5f, true}, {0.6f, true}};
  EXPECT_FALSE(JudgeRanking(one_kind).has_value());
}

TEST(RegressionMetricsTest, EqualScikitLearns) {
  const json cases = Recorded()["regression"];
  ASSERT_GE(cases.size(), 3u);
  for (const json& recorded : cases) {
    SCOPED_TRACE(recorded["name"].get<std::string>());
    const auto predictions = recorded["predictions"].get<std::vector<float>>();
    const auto targets = recorded["targets"].get<std::vector<float>>();
    RegressionMetrics metrics;
    metrics.Add(std::span(predictions).first(10), std::span(targets).first(10));
    metrics.Add(std::span(predictions).subspan(10), std::span(targets).subspan(10));
    ExpectAlike(metrics.Report(), recorded["metrics"]);
  }
}

TEST(RegressionMetricsTest, TargetsThatNeverChangeHaveNoVarianceToExplain) {
  RegressionMetrics metrics;
  metrics.Add(std::vector<float>{1, 2}, std::vector<float>{3, 3});
  EXPECT_EQ(metrics.Report().at("r2"), 0);
}

TEST(LanguageMetricsTest, MeansAreOverTokensAndNotOverBatches) {
  LanguageMetrics metrics;
  metrics.Add(1.0, 30, 100);
  metrics.Add(2.0, 0, 300);
  EXPECT_DOUBLE_EQ(metrics.accuracy(), 0.075);
  const auto report = metrics.Report();
  EXPECT_DOUBLE_EQ(report.at("log_loss"), 1.75);
  EXPECT_DOUBLE_EQ(report.at("perplexity"), std::exp(1.75));
  EXPECT_DOUBLE_EQ(report.at("accuracy"), 0.075);
}

}  // namespace
}  // namespace slipway::trainer
