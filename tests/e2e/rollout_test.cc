// Versions replace each other under load, on the real platform: by hand, by a canary that stands,
// and by one that does not.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/load.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int kSwaps = 6;

class RolloutTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    platform_ = std::make_unique<Platform>();
    const absl::Status started = platform_->Start();
    ASSERT_TRUE(started.ok()) << started;
    world_ = std::make_unique<World>(*platform_, "acme");
    ASSERT_TRUE(world_->status().ok()) << world_->status();
    // Two good versions, and one of pictures of another size: it refuses what the others take.
    for (const char* job : {"first", "second"}) {
      const auto trained = world_->Train(job, PictureSpec(5));
      ASSERT_TRUE(trained.ok()) << trained.status();
      versions_.push_back((*trained)["modelVersion"]);
    }
    std::string pixels;
    std::string labels;
    for (int row = 0; row < 200; ++row) {
      pixels += std::string(8, row % 2 == 0 ? '\xc8' : '\x14');
      pixels += std::string(8, row % 2 == 0 ? '\x14' : '\xc8');
      labels += static_cast<char>(row % 2);
    }
    const std::string images = IdxFile({200, 4, 4}, pixels);
    const std::string classes = IdxFile({200}, labels);
    ASSERT_TRUE(world_
                    ->MakeDataset("small", {{"train-images", images},
                                            {"train-labels", classes},
                                            {"test-images", images},
                                            {"test-labels", classes}})
                    .ok());
    json spec = PictureSpec(10);
    spec["dataset"] = "small";
    const auto small = world_->Train("small", spec);
    ASSERT_TRUE(small.ok()) << small.status();
    ASSERT_EQ((*small)["state"], "SUCCEEDED") << *small;
    versions_.push_back((*small)["modelVersion"]);
    const absl::Status deployed = world_->Deploy("halves", versions_[0]);
    ASSERT_TRUE(deployed.ok()) << deployed;
  }
  // Each test begins with the first version, which serves alone.
  void SetUp() override {
    ASSERT_EQ(versions_.size(), 3u);
    Update({{"modelVersion", versions_[0]}, {"rollout", {{"strategy", "DIRECT"}}}});
    AwaitServing(versions_[0]);
  }
  static void TearDownTestSuite() {
    world_.reset();
    platform_.reset();
  }

  static json Now() { return world_->owner().Get(world_->Path("deployments/halves")).json(); }

  static void Update(const json& body) {
    const Answer answer = world_->owner().Call("PATCH", world_->Path("deployments/halves"), body);
    ASSERT_TRUE(answer.ok()) << answer.body;
  }

  // The version answers, and the deployment has come to rest.
  static void AwaitServing(const std::string& version) {
    EXPECT_TRUE(Eventually([&] {
      const json now = Now();
      return now.value("servingVersion", "") == version && now.value("state", "") == "READY";
    })) << Now();
  }

  static std::unique_ptr<Platform> platform_;
  static std::unique_ptr<World> world_;
  static std::vector<std::string> versions_;
};

std::unique_ptr<Platform> RolloutTest::platform_;
std::unique_ptr<World> RolloutTest::world_;
std::vector<std::string> RolloutTest::versions_;

TEST_F(RolloutTest, SwapsVersionsUnderLoadWithoutAFailedCall) {
  Load load(*world_, "halves", /*callers=*/3);
  ASSERT_TRUE(load.WaitForMore(50));
  for (int swap = 1; swap <= kSwaps; ++swap) {
    const std::string& version = versions_[static_cast<size_t>(swap % 2)];
    Update({{"modelVersion", version}});
    AwaitServing(version);
    ASSERT_TRUE(load.WaitForMore(50));
  }
  const Load::Result result = load.Finish();
  EXPECT_EQ(result.failed, 0) << result.first_failure;
  EXPECT_EQ(result.by_version.size(), 2u);
}

TEST_F(RolloutTest, ACanaryThatStandsIsPromotedByItself) {
  Load load(*world_, "halves", /*callers=*/3);
  Update({{"modelVersion", versions_[1]},
          {"rollout",
           {{"strategy", "CANARY"},
            {"steps", {20, 50}},
            {"stepTime", "1s"},
            {"minCalls", 20},
            {"maxErrorIncrease", 0.5},
            {"maxLatencyRatio", 1000}}}});
  AwaitServing(versions_[1]);
  const json rollout = Now()["lastRollout"];
  EXPECT_EQ(rollout["state"], "PROMOTED") << rollout;
  EXPECT_THAT(rollout.value("reason", ""), HasSubstr("0.00% of"));
  const Load::Result result = load.Finish();
  EXPECT_EQ(result.failed, 0) << result.first_failure;

  // The version before is still loaded: a rollback needs no load.
  const Answer back = world_->owner().Post(world_->Path("deployments/halves:rollback"),
                                           {{"reason", "a colleague asked"}});
  ASSERT_TRUE(back.ok()) << back.body;
  EXPECT_TRUE(Eventually([&] { return Now().value("servingVersion", "") == versions_[0]; }));
  EXPECT_EQ(Now().value("state", ""), "ROLLED_BACK");
  EXPECT_THAT(Now().value("error", ""), HasSubstr("a colleague asked"));
}

TEST_F(RolloutTest, ACanaryThatFailsCallsGoesBackByItselfAndSaysWhy) {
  Load load(*world_, "halves", /*callers=*/3);
  Update({{"modelVersion", versions_[2]},
          {"rollout",
           {{"strategy", "CANARY"}, {"steps", {30}}, {"stepTime", "3600s"}, {"minCalls", 20}}}});
  EXPECT_TRUE(Eventually([&] { return Now().value("state", "") == "ROLLED_BACK"; })) << Now();
  EXPECT_EQ(Now().value("servingVersion", ""), versions_[0]);
  EXPECT_THAT(Now()["lastRollout"].value("reason", ""),
              HasSubstr("too many calls failed: 100.00% of"));
  // The routes reach the gateway a moment later; from then on no call fails.
  EXPECT_TRUE(Eventually([&] {
    for (int i = 0; i < 20; ++i) {
      if (!world_->Predict("halves").ok()) return false;
    }
    return true;
  }));
  EXPECT_GT(load.Finish().failed, 0);
}

TEST_F(RolloutTest, GreenIsReachedByItsVersionUntilItIsPromoted) {
  Update({{"modelVersion", versions_[1]}, {"rollout", {{"strategy", "BLUE_GREEN"}}}});
  ASSERT_TRUE(Eventually([&] { return Now().value("state", "") == "ROLLING_OUT"; })) << Now();
  const std::string number = versions_[1].substr(versions_[1].rfind('/') + 1);
  EXPECT_TRUE(
      Eventually([&] { return world_->owner().Get("/v2/models/halves/versions/" + number).ok(); }));
  for (int i = 0; i < 20; ++i) {
    EXPECT_NE(world_->Predict("halves").json().value("model_version", ""), number);
  }
  ASSERT_TRUE(
      world_->owner().Post(world_->Path("deployments/halves:promote"), json::object()).ok());
  EXPECT_TRUE(Eventually(
      [&] { return world_->Predict("halves").json().value("model_version", "") == number; }));
}

}  // namespace
}  // namespace slipway::e2e
