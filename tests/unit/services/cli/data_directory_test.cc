#include "services/cli/up/data_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
}

TEST(DataDirectoryTest, IsForItsUserAlone) {
  TempDir dir;
  DataDirectory data(dir / "data");
  ASSERT_TRUE(data.Open().ok());
  EXPECT_EQ(ModeOf(data.path()), 0700u);
  EXPECT_EQ(ModeOf(data.Folder("run")), 0700u);
}

TEST(DataDirectoryTest, RefusesASecondPlatformAndNamesTheFirst) {
  TempDir dir;
  DataDirectory first(dir / "data");
  ASSERT_TRUE(first.Open().ok());
  EXPECT_EQ(first.Holder(), ::getpid());
  DataDirectory second(dir / "data");
  const absl::Status status = second.Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  const std::string message(status.message());
  EXPECT_NE(message.find(std::to_string(::getpid())), std::string::npos) << message;
  EXPECT_NE(message.find("slipway down"), std::string::npos) << message;
}

TEST(DataDirectoryTest, IsFreeAgainWhenItsHolderGoes) {
  TempDir dir;
  { ASSERT_TRUE(DataDirectory(dir / "data").Open().ok()); }
  DataDirectory next(dir / "data");
  EXPECT_EQ(next.Holder(), 0);
  EXPECT_TRUE(next.Open().ok());
}

TEST(DataDirectoryTest, RefusesWhatANewerSlipwayWrote) {
  TempDir dir;
  { ASSERT_TRUE(DataDirectory(dir / "data").Open().ok()); }
  std::ofstream(dir / "data/VERSION") << "999\n";
  DataDirectory data(dir / "data");
  const absl::Status status = data.Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_NE(std::string(status.message()).find("999"), std::string::npos);
}

TEST(DataDirectoryTest, MovesSocketsAwayWhereTheirPathsWouldBeTooLong) {
  TempDir dir;
  const std::string deep = dir / std::string(100, 'd');
  DataDirectory data(deep);
  ASSERT_TRUE(data.Open().ok());
  ASSERT_TRUE(data.MakeRunFolder().ok());
  const std::string run = data.run_folder();
  EXPECT_NE(run, data.Folder("run"));
  EXPECT_EQ(ModeOf(run), 0700u);
  std::ifstream record(data.Folder("run-dir"));
  std::string recorded;
  std::getline(record, recorded);
  EXPECT_EQ(recorded, run);
  data.RemoveRunFolder();
  EXPECT_FALSE(fs::exists(run));
  EXPECT_FALSE(fs::exists(data.Folder("run-dir")));
}

TEST(DataDirectoryTest, KeepsSocketsInsideWhereTheyFit) {
  TempDir dir;
  DataDirectory data(dir / "data");
  ASSERT_TRUE(data.Open().ok());
  ASSERT_TRUE(data.MakeRunFolder().ok());
  EXPECT_EQ(data.Socket("registry"), "unix:" + data.path() + "/run/registry.sock");
}

TEST(DataDirectoryTest, SweepsWhatADeadPlatformLeft) {
  TempDir dir;
  DataDirectory data(dir / "data");
  ASSERT_TRUE(data.Open().ok());
  std::ofstream(data.Folder("run/registry.sock")) << "";
  ASSERT_TRUE(data.MakeRunFolder().ok());
  EXPECT_FALSE(fs::exists(data.Folder("run/registry.sock")));
}

}  // namespace
}  // namespace slipway::cli
