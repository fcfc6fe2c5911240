#include "services/cli/metrics_view.h"

#include <sstream>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::cli {
namespace {

const nlohmann::json kMetrics = {{"accuracy", 0.91609999},
                                 {"f1/Bag", 0.98398},
                                 {"f1/T-shirt/top", 0.87},
                                 {"recall/T-shirt/top", 0.88}};

TEST(PrintMetricsTest, ShowsThoseOfTheWholeWithFourDigits) {
  std::ostringstream out;
  PrintMetrics(out, kMetrics, 10);
  EXPECT_EQ(out.str(), "  accuracy   0.9161\n");
}

TEST(PrintMetricsTest, MakesRoomForTheLongestName) {
  std::ostringstream out;
  PrintMetrics(out, {{"f1_macro", 0.5}, {"precision_weighted", 0.25}}, 10);
  EXPECT_EQ(out.str(), "  f1_macro           0.5000\n  precision_weighted 0.2500\n");
}

TEST(PrintClassMetricsTest, IsARowAClassAndAColumnAMetricWithGapsLeftEmpty) {
  std::ostringstream out;
  PrintClassMetrics(out, kMetrics);
  EXPECT_EQ(out.str(),
            "\n"
            "CLASS        F1      RECALL\n"
            "Bag          0.9840  \n"
            "T-shirt/top  0.8700  0.8800\n");
}

TEST(PrintClassMetricsTest, IsNothingWhereNoMetricIsOfAClass) {
  std::ostringstream out;
  PrintClassMetrics(out, {{"loss", 0.5}});
  EXPECT_EQ(out.str(), "");
}

TEST(PrintConfusionMatrixTest, IsARowATrueClassAndAColumnASaidOne) {
  std::ostringstream out;
  PrintConfusionMatrix(out,
                       nlohmann::json::parse(
                           R"({"labels": ["cat", "dog"], "confusion_matrix": [[8, 2], [1, 19]]})"));
  EXPECT_EQ(out.str(),
            "\n"
            "TRUE \\ SAID  cat  dog\n"
            "cat          8    2\n"
            "dog          1    19\n");
}

TEST(PrintConfusionMatrixTest, IsNothingWhereThereIsNoneOrNoRoom) {
  std::ostringstream out;
  PrintConfusionMatrix(out, {{"metrics", {{"mse", 1.0}}}});
  nlohmann::json wide;
  for (int c = 0; c < 13; ++c) wide["confusion_matrix"].push_back(std::vector<int>(13, 1));
  PrintConfusionMatrix(out, wide);
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace slipway::cli
