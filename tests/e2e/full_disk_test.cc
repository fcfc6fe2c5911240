// A full disk: reads and predictions go on, writes answer 507 and name the volume, and all is well
// again once there is room. The data directory is a small tmpfs in a mount namespace of its own.

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Whether this machine lets us mount in a namespace of our own.
bool MayMount(const std::string& folder) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool may = ::unshare(CLONE_NEWNS) == 0 &&
                     ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                     ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
    ::_exit(may ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class FullDiskTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure() && platform_ != nullptr) std::cerr << platform_->Logs();
  }

  // The tmpfs, as seen from outside its namespace.
  std::string Inside(const std::string& name) const {
    return fmt::format("/proc/{}/root{}/{}", platform_->pid(), volume_.path().string(), name);
  }

  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "mounting a tmpfs takes root";
    if (!MayMount(volume_.path().string())) GTEST_SKIP() << "this container may not mount a tmpfs";
    platform_ = std::make_unique<Platform>(Platform::Options{
        .data_dir = volume_ / "data",
        .wrapper = {"/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c",
                    "mount -t tmpfs -o size=192m,mode=0700 tmpfs \"$0\" && exec \"$@\"",
                    volume_.path().string()}});
    ASSERT_TRUE(platform_->Start().ok()) << platform_->Logs();
  }

  // Takes all room that is left.
  void Fill() {
    std::ofstream filler(Inside("filler"), std::ios::binary | std::ios::app);
    const std::string block(1 << 16, 'x');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
    // To the last byte.
    filler.clear();
    while (filler.put('x').flush()) {
    }
  }

  void Empty() { ASSERT_EQ(::unlink(Inside("filler").c_str()), 0); }

  const TempDir volume_;
  std::unique_ptr<Platform> platform_;
};

TEST_F(FullDiskTest, WritesAreRefusedPredictionsGoOnAndItRecoversByItself) {
  const World world(*platform_, "acme");
  ASSERT_TRUE(world.status().ok()) << world.status();
  const auto trained = world.Train("first", PictureSpec(5));
  ASSERT_TRUE(trained.ok()) << trained.status();
  ASSERT_EQ((*trained)["state"], "SUCCEEDED") << *trained;
  ASSERT_TRUE(world.Deploy("halves", (*trained)["modelVersion"]).ok());

  Fill();
  const json job = {{"spec", PictureSpec(5)}};
  // Refused as soon as room that was set aside (a write-ahead log's tail) is used up.
  Answer refused;
  ASSERT_TRUE(Eventually(
      [&] {
        refused = world.owner().Post(world.Path("jobs"), job);
        return !refused.ok();
      },
      absl::Seconds(20)));
  EXPECT_EQ(refused.status, 507) << refused.body;
  EXPECT_THAT(refused.body, HasSubstr(volume_.path().string()));
  Answer upload;
  ASSERT_TRUE(Eventually(
      [&] {
        upload = world.owner().Send("POST", world.Path("blobs"), std::string(1 << 20, 'b'),
                                    {{"Content-Type", "application/octet-stream"}});
        return !upload.ok();
      },
      absl::Seconds(20)));
  EXPECT_EQ(upload.status, 507) << upload.body;
  EXPECT_THAT(upload.body, HasSubstr(volume_.path().string()));

  // Reads and predictions.
  EXPECT_TRUE(world.owner().Get(world.Path("jobs/first")).ok());
  EXPECT_TRUE(world.owner().Get(world.Path("datasets")).ok());
  for (int i = 0; i < 50; ++i) {
    const Answer answer = world.Predict("halves");
    EXPECT_TRUE(answer.ok()) << i << ": " << answer.status << " " << answer.body;
  }

  Empty();
  Answer accepted;
  EXPECT_TRUE(Eventually(
      [&] {
        accepted = world.owner().Post(world.Path("jobs"), job, {{"jobId", "second"}});
        return accepted.ok();
      },
      absl::Seconds(30)))
      << accepted.status << " " << accepted.body;
  const auto second = world.WaitForJob("second");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)["state"], "SUCCEEDED") << *second;
}

TEST_F(FullDiskTest, AJobThatTrainsThroughAFullDiskEndsWell) {
  const World world(*platform_, "acme");
  ASSERT_TRUE(world.status().ok()) << world.status();
  ASSERT_TRUE(world.owner()
                  .Post(world.Path("jobs"), {{"spec", PictureSpec(300)}}, {{"jobId", "long"}})
                  .ok());
  const auto step = [&] {
    const json job = world.owner().Get(world.Path("jobs/long")).json();
    return std::stoll(job.value("progress", json::object()).value("step", "0"));
  };
  ASSERT_TRUE(Eventually([&] { return step() > 0; }));
  // Which a service counts from the first time on.
  const auto refused = [&] {
    const Answer metrics = Caller(platform_->metrics_address(), "").Get("/metrics");
    return metrics.body.find("code=\"RESOURCE_EXHAUSTED\"") != std::string::npos;
  };
  ASSERT_FALSE(refused());
  Fill();
  // In its reports or with its result.
  ASSERT_TRUE(Eventually(refused)) << "the job never met the full disk";
  Empty();
  const auto job = world.WaitForJob("long");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ((*job)["state"], "SUCCEEDED") << *job;
}

}  // namespace
}  // namespace slipway::e2e
