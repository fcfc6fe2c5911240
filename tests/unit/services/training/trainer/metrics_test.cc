#include "services/training/trainer/metrics.h"

#include <vector>

#include "gtest/gtest.h"

namespace slipway::trainer {
namespace {

// Scores whose largest is at `predicted`.
std::vector<float> OneHot(const std::vector<int>& predicted, int classes) {
  std::vector<float> scores;
  for (const int p : predicted) {
    for (int c = 0; c < classes; ++c) scores.push_back(c == p ? 2.f : -1.f);
  }
  return scores;
}

TEST(ClassificationMetricsTest, EqualScikitLearnsReport) {
  // precision_recall_fscore_support([0,0,0,1,1,2], [0,0,1,1,2,2], zero_division=0):
  // precision 1, 1/2, 1/2; recall 2/3, 1/2, 1; f1 0.8, 0.5, 2/3.
  ClassificationMetrics metrics(3);
  metrics.Add(OneHot({0, 0, 1}, 3), std::vector<int64_t>{0, 0, 0});
  metrics.Add(OneHot({1, 2, 2}, 3), std::vector<int64_t>{1, 1, 2});
  const auto report = metrics.Report({"shirt", "bag", "boot"});
  EXPECT_DOUBLE_EQ(report.at("accuracy"), 4.0 / 6);
  EXPECT_DOUBLE_EQ(report.at("precision/shirt"), 1);
  EXPECT_DOUBLE_EQ(report.at("precision/bag"), 0.5);
  EXPECT_DOUBLE_EQ(report.at("recall/shirt"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(report.at("recall/boot"), 1);
  EXPECT_DOUBLE_EQ(report.at("f1/shirt"), 0.8);
  EXPECT_DOUBLE_EQ(report.at("f1/boot"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(report.at("precision_macro"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(report.at("recall_macro"), (2.0 / 3 + 0.5 + 1) / 3);
  EXPECT_DOUBLE_EQ(report.at("f1_macro"), (0.8 + 0.5 + 2.0 / 3) / 3);
}

TEST(ClassificationMetricsTest, LeavesAbsentClassesOutOfTheMeans) {
  ClassificationMetrics metrics(3);
  metrics.Add(OneHot({0, 2}, 3), std::vector<int64_t>{0, 0});
  const auto report = metrics.Report({});
  EXPECT_DOUBLE_EQ(report.at("recall_macro"), 0.5);
  EXPECT_DOUBLE_EQ(report.at("precision/2"), 0);
  EXPECT_DOUBLE_EQ(report.at("f1/1"), 0);
}

TEST(ClassificationMetricsTest, ReportsClassesOnlyWhereTheyAreFew) {
  EXPECT_TRUE(ClassificationMetrics(100).Report({}).contains("f1/99"));
  EXPECT_FALSE(ClassificationMetrics(101).Report({}).contains("f1/99"));
  EXPECT_EQ(ClassificationMetrics(2).Report({}).at("accuracy"), 0);
}

TEST(RegressionMetricsTest, EqualsScikitLearns) {
  // mean_squared_error, mean_absolute_error, r2_score of [3, -0.5, 2, 7] and [2.5, 0, 2, 8].
  RegressionMetrics metrics;
  metrics.Add(std::vector<float>{2.5, 0}, std::vector<float>{3, -0.5});
  metrics.Add(std::vector<float>{2, 8}, std::vector<float>{2, 7});
  const auto report = metrics.Report();
  EXPECT_NEAR(report.at("mse"), 0.375, 1e-12);
  EXPECT_NEAR(report.at("mae"), 0.5, 1e-12);
  EXPECT_NEAR(report.at("r2"), 0.9486081370449679, 1e-12);
}

TEST(RegressionMetricsTest, TargetsThatNeverChangeHaveNoVarianceToExplain) {
  RegressionMetrics metrics;
  metrics.Add(std::vector<float>{1, 2}, std::vector<float>{3, 3});
  EXPECT_EQ(metrics.Report().at("r2"), 0);
}

}  // namespace
}  // namespace slipway::trainer
