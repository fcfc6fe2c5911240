#include "common/files/files.h"

#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "common/files/file_lock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/system_calls.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::Field;
using ::testing::HasSubstr;
using Call = SystemCalls::Call;

size_t CountFiles(const TempDir& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder.path()),
                                           std::filesystem::directory_iterator()));
}

TEST(AtomicFileTest, AppearsOnlyWhenCommitted) {
  const TempDir folder;
  const std::string path = folder / "model.bin";
  auto file = AtomicFile::Create(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Append("half").ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(file->Append(" and half").ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(ReadFile(path).value(), "half and half");
  EXPECT_EQ(CountFiles(folder), 1u);
}

// What a power cut leaves at any moment is the old file or the new one, whole.
TEST(AtomicFileTest, SyncsTheBytesThenTakesTheNameThenSyncsTheFolder) {
  const TempDir folder;
  const SystemCalls calls;
  ASSERT_TRUE(WriteFileAtomically(folder / "model.bin", "bytes").ok());
  const auto is = [](const char* operation, const auto& path) {
    return AllOf(Field("operation", &Call::operation, operation), Field("path", &Call::path, path));
  };
  EXPECT_THAT(calls.calls(), ElementsAre(is("write", HasSubstr("/.model.bin.")),
                                         is("sync", HasSubstr("/.model.bin.")),
                                         is("rename", EndsWith("/model.bin")),
                                         is("sync", EndsWith(folder.path().filename().string()))));
}

TEST(AtomicFileTest, LeavesTheOldFileAndNoRestWhenItIsDropped) {
  const TempDir folder;
  const std::string path = folder / "model.bin";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  {
    auto file = AtomicFile::Create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append("new").ok());
    EXPECT_EQ(CountFiles(folder), 2u);
  }
  EXPECT_EQ(ReadFile(path).value(), "old");
  EXPECT_EQ(CountFiles(folder), 1u);
}

TEST(AtomicFileTest, SetsTheMode) {
  const TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "key", "secret", 0600).ok());
  struct stat info {};
  ASSERT_EQ(::stat((folder / "key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(AtomicFileTest, SaysWhichFolderIsMissing) {
  const TempDir folder;
  const absl::Status status = WriteFileAtomically(folder / "absent/file", "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(status.message()).find("absent/file"), std::string::npos);
}

TEST(ReadFileTest, RefusesWhatIsTooLargeAbsentOrNoFile) {
  const TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "five", "12345").ok());
  EXPECT_EQ(ReadFile(folder / "five", 5).value(), "12345");
  EXPECT_EQ(ReadFile(folder / "five", 4).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(folder / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadFile(folder.path().string()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FileLockTest, OneHoldsItAndItGoesWithIt) {
  const TempDir folder;
  {
    auto held = FileLock::Take(folder / "lock", "the folder");
    ASSERT_TRUE(held.ok()) << held.status();
    const FileLock moved = *std::move(held);
    EXPECT_EQ(FileLock::Take(folder / "lock", "the folder").status(),
              absl::FailedPreconditionError("the folder is in use by another process"));
  }
  EXPECT_TRUE(FileLock::Take(folder / "lock", "the folder").ok());
  EXPECT_TRUE(absl::IsNotFound(FileLock::Take(folder / "absent/lock", "it").status()));
}

}  // namespace
}  // namespace slipway
