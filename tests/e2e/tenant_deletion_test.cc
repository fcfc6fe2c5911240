// A tenant is deleted from a whole platform while a job of its trains, and each service is killed
// on the way: what it had is gone, what another has is not.
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int kLongTraining = 300;
constexpr int kShortTraining = 5;

class TenantDeletionTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(platform_.Start().ok()); }
  void TearDown() override {
    if (HasFailure()) std::cerr << platform_.Logs();
  }

  // A model that serves.
  static void Fill(const World& world) {
    ASSERT_TRUE(world.status().ok()) << world.status();
    const auto job = world.Train("first", PictureSpec(kShortTraining));
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_EQ((*job)["state"], "SUCCEEDED") << *job;
    const absl::Status deployed = world.Deploy("halves", (*job)["modelVersion"]);
    ASSERT_TRUE(deployed.ok()) << deployed;
    ASSERT_TRUE(Eventually([&] { return world.Predict("halves").ok(); }));
  }

  bool HasFiles(const std::string& folder) const {
    const auto path = std::filesystem::path(platform_.data_dir()) / folder;
    return std::filesystem::exists(path) && !std::filesystem::is_empty(path);
  }

  Platform platform_;
};

TEST_F(TenantDeletionTest, TakesAllOfOneTenantThroughKillsAndNothingOfAnother) {
  const World acme(platform_, "acme");
  const World globex(platform_, "globex");
  Fill(acme);
  Fill(globex);
  const Caller admin = platform_.As(platform_.admin_key());
  ASSERT_TRUE(
      acme.owner()
          .Post(acme.Path("jobs"), {{"spec", PictureSpec(kLongTraining)}}, {{"jobId", "long"}})
          .ok());
  ASSERT_TRUE(Eventually([&] {
    return acme.owner().Get(acme.Path("jobs/long")).json().value("state", "") == "RUNNING";
  }));
  ASSERT_TRUE(HasFiles("registry/blobs/acme"));

  ASSERT_TRUE(admin.Call("DELETE", "/api/v1/tenants/acme", nullptr).ok());
  EXPECT_EQ(acme.owner().Get(acme.Path("models")).status, 401);
  for (const char* service : {"gateway", "controller", "training", "registry"}) {
    EXPECT_TRUE(platform_.KillService(service).ok()) << service;
  }
  json deletion;
  ASSERT_TRUE(Eventually(
      [&] {
        deletion = admin.Get("/api/v1/tenants/acme/deletion").json();
        return deletion.value("state", "") == "DONE";
      },
      kPatience))
      << deletion;
  const std::string report = deletion.value("report", "");
  for (const char* line : {"controller deployments 1 ", "training jobs 2 ", "registry models 1 ",
                           "registry versions 1 ", "registry datasets 1 ", "identity keys 1 "}) {
    EXPECT_THAT(report, HasSubstr(line));
  }
  EXPECT_FALSE(HasFiles("registry/blobs/acme"));
  EXPECT_FALSE(HasFiles("training/jobs/acme"));
  EXPECT_EQ(admin.Get(acme.Path("models")).status, 404);
  EXPECT_FALSE(admin.List(acme.Path("usageRecords"), "usageRecords").empty());

  ASSERT_TRUE(Eventually([&] { return globex.Predict("halves").ok(); }));
  EXPECT_EQ(globex.owner().List(globex.Path("jobs"), "trainingJobs").size(), 1u);
  EXPECT_EQ(globex.owner().List(globex.Path("datasets"), "datasets").size(), 1u);
  EXPECT_TRUE(HasFiles("registry/blobs/globex"));
}

}  // namespace
}  // namespace slipway::e2e
