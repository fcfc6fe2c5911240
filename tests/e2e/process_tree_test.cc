// Who starts whom, and who goes with whom.

#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <string>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using ::testing::HasSubstr;

TEST(ProcessTreeTest, AParentThatIsKilledTakesItsChildrenAlong) {
  Platform platform;
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  const World world(platform, "acme");
  ASSERT_TRUE(world.status().ok()) << world.status() << platform.Logs();
  ASSERT_TRUE(world.owner()
                  .Post(world.Path("jobs"), {{"spec", PictureSpec(100'000)}}, {{"jobId", "long"}})
                  .ok());
  for (const char* name : {"gateway", "registry", "training", "controller", "worker", "trainer"}) {
    ASSERT_TRUE(Eventually([&] { return platform.PidOf(name) != 0; })) << name;
  }
  const std::vector<int64_t> processes = platform.Descendants();
  EXPECT_GE(processes.size(), 6u);
  ASSERT_TRUE(platform.Kill().ok());
  for (const int64_t pid : processes) {
    EXPECT_TRUE(WaitUntilGone(pid, absl::Seconds(10))) << "process " << pid << " lives on";
  }

  // The next one takes up where it was, with the key that there was.
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  Answer job;
  EXPECT_TRUE(Eventually([&] {
    job = platform.As(world.key()).Get(world.Path("jobs/long"));
    return job.json().value("state", "") == "RUNNING" && job.json().value("attempts", 0) == 2;
  })) << job.body;
}

TEST(ProcessTreeTest, ASecondPlatformOnTheSameDataRefuses) {
  Platform first;
  ASSERT_TRUE(first.Start().ok()) << first.Logs();
  Platform second({.data_dir = first.data_dir(), .wrapper = {}});
  ASSERT_TRUE(second.Launch().ok());
  const auto exit = second.WaitForExit();
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_NE(exit->code, 0);
  EXPECT_THAT(second.Logs(), HasSubstr(first.data_dir()));
  EXPECT_THAT(second.Logs(), HasSubstr(std::to_string(first.pid())));
  // The first one did not notice.
  EXPECT_TRUE(first.As(first.admin_key()).Get("/api/v1/platform").ok());
}

TEST(ProcessTreeTest, StopsInOrderAndLeavesNoProcessAndNoSecretBehind) {
  Platform platform;
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  const std::vector<int64_t> processes = platform.Descendants();
  struct stat info;
  ASSERT_EQ(::stat(platform.data_dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  const auto exit = platform.Stop();
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_TRUE(exit->ok()) << exit->ToString() << platform.Logs();
  for (const int64_t pid : processes) EXPECT_TRUE(WaitUntilGone(pid, absl::Seconds(1)));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(platform.data_dir())) {
    EXPECT_FALSE(entry.is_socket()) << entry.path();
    if (!entry.is_regular_file()) continue;
    const auto text = ReadFile(entry.path());
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(text->find(platform.admin_key()), std::string::npos) << entry.path();
  }
}

TEST(ProcessTreeTest, APathTooLongForSocketsIsNoObstacle) {
  const TempDir dir;
  Platform platform({.data_dir = dir / std::string(120, 'd'), .wrapper = {}});
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  EXPECT_TRUE(platform.As(platform.admin_key()).Get("/api/v1/platform").ok());
}

}  // namespace
}  // namespace slipway::e2e
