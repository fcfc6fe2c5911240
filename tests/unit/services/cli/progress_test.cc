#include "services/cli/progress.h"

#include <sstream>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::cli {
namespace {

using nlohmann::json;

// A descriptor that is no terminal.
constexpr int kNoTerminal = -1;

json Progress(int step, double loss) {
  return {{"sequence", std::to_string(step)},
          {"progress",
           {{"epoch", 1},
            {"epochs", 2},
            {"step", std::to_string(step)},
            {"steps", "100"},
            {"loss", loss},
            {"accuracy", 0.5},
            {"samplesPerSecond", 1200.4},
            {"remainingSeconds", 83},
            {"phase", "training"}}}};
}

TEST(ProgressBarTest, FillsByShareAndStaysInBounds) {
  EXPECT_EQ(ProgressBar(0.5, 4), "━━──");
  EXPECT_EQ(ProgressBar(-1, 2), "──");
  EXPECT_EQ(ProgressBar(7, 2), "━━");
}

TEST(SparklineTest, ScalesBetweenTheLeastAndTheGreatest) {
  EXPECT_EQ(Sparkline({1, 2, 3}, 3), "▁▅█");
  EXPECT_EQ(Sparkline({1, 2, 3}, 2), "▁█");
  EXPECT_EQ(Sparkline({5, 5}, 2), "▁▁");
  EXPECT_EQ(Sparkline({}, 2), "");
}

TEST(ClockTextTest, ShowsMinutesAndHours) {
  EXPECT_EQ(ClockText(7.2), "0:07");
  EXPECT_EQ(ClockText(754), "12:34");
  EXPECT_EQ(ClockText(3723), "1:02:03");
  EXPECT_EQ(ClockText(-3), "0:00");
}

TEST(JobViewTest, PrintsALineATenthWhereThereIsNoTerminal) {
  std::ostringstream out;
  JobView view(out, /*json=*/false, kNoTerminal);
  for (int step = 1; step <= 100; ++step) view.Show(Progress(step, 1.0 / step));
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11) << text;
  EXPECT_NE(text.find("epoch 1/2  loss 0.0100  accuracy 0.500  1200/s  1:23 left"),
            std::string::npos)
      << text;
}

TEST(JobViewTest, ShowsNoAccuracyForARegression) {
  json progress = Progress(50, 0.5);
  progress["progress"]["accuracy"] = 0;
  std::ostringstream out;
  JobView view(out, /*json=*/false, kNoTerminal);
  view.Show(progress);
  EXPECT_NE(out.str().find("loss 0.5000  1200/s"), std::string::npos) << out.str();
}

TEST(JobViewTest, EndsWithTheJobAndSaysWhy) {
  std::ostringstream out;
  JobView view(out, /*json=*/false, kNoTerminal);
  view.Show({{"stateChange", {{"state", "RUNNING"}}}});
  EXPECT_FALSE(view.ended());
  view.Show({{"stateChange", {{"state", "FAILED"}, {"reason", "accuracy 0.4 is below 0.9"}}}});
  EXPECT_TRUE(view.ended());
  EXPECT_EQ(out.str(), "RUNNING\nFAILED: accuracy 0.4 is below 0.9\n");
}

TEST(JobViewTest, PrintsEventsAsTheyAreForJson) {
  std::ostringstream out;
  JobView view(out, /*json=*/true, kNoTerminal);
  const json event = Progress(3, 0.25);
  view.Show(event);
  EXPECT_EQ(json::parse(out.str()), event);
}

}  // namespace
}  // namespace slipway::cli
