#include "services/training/trainer/tensorboard/event_file.h"

#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tensorboard/events.pb.h"
#include "tests/support/temp_dir.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixMillis(1'700'000'000'250);

// Its records, in order. The checksums are checked by TensorBoard itself (tests/clients).
std::vector<tensorboard::Event> Read(const std::string& path) {
  const std::string bytes = ReadFile(path).value();
  std::vector<tensorboard::Event> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof(size));
    EXPECT_LE(at + 16 + size, bytes.size());
    EXPECT_TRUE(events.emplace_back().ParseFromString(bytes.substr(at + 12, size)));
    at += 16 + size;
  }
  return events;
}

Tensor Floats(const std::string& name, const std::vector<float>& values) {
  return Tensor::Make(name, DataType::kFp32, {static_cast<int64_t>(values.size())},
                      Buffer::Own(std::string(reinterpret_cast<const char*>(values.data()),
                                              values.size() * sizeof(float))),
                      name)
      .value();
}

TEST(EventFileTest, BeginsWithItsVersionAndVoidsWhatFollowsTheCheckpoint) {
  const TempDir folder;
  auto file = EventFile::Create(folder / "new", 40, kNow);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto events = Read(file->path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].session_log().status(), tensorboard::SessionLog::START);
  EXPECT_EQ(events[1].step(), 41);
  EXPECT_NEAR(events[1].wall_time(), 1'700'000'000.25, 1e-5);
}

TEST(EventFileTest, HoldsEachBucketThatIsNotEmpty) {
  const TempDir folder;
  auto file = EventFile::Create(folder.path().string(), 0, kNow);
  ASSERT_TRUE(file.ok()) << file.status();
  const std::vector<Tensor> tensors = {Floats("w", {-1, 0, 0, 2, 1e30F})};
  file->AddHistograms("parameters/", tensors, 7, kNow);
  ASSERT_TRUE(file->Flush().ok());
  const auto event = Read(file->path()).back();
  EXPECT_EQ(event.step(), 7);
  const auto& value = event.summary().value(0);
  EXPECT_EQ(value.tag(), "parameters/w");
  EXPECT_EQ(value.histo().num(), 5);
  EXPECT_EQ(value.histo().min(), -1);
  ASSERT_EQ(value.histo().bucket_size(), value.histo().bucket_limit_size());
  std::vector<double> held;
  double below = std::numeric_limits<double>::lowest();
  for (int i = 0; i < value.histo().bucket_size(); ++i) {
    EXPECT_GT(value.histo().bucket_limit(i), below);
    below = value.histo().bucket_limit(i);
    if (value.histo().bucket(i) > 0) held.push_back(value.histo().bucket(i));
  }
  EXPECT_THAT(held, ElementsAre(1, 2, 1, 1));
}

TEST(EventFileTest, HalfARecordIsTakenBackWhereTheVolumeIsFull) {
  // Writes to /dev/full fail as on a full volume.
  const TempDir folder;
  auto file = EventFile::Create(folder.path().string(), 0, kNow);
  ASSERT_TRUE(file.ok()) << file.status();
  std::filesystem::rename(file->path(), folder / "kept");
  std::filesystem::create_symlink("/dev/full", file->path());
  file->AddScalars({{"a", 1}}, 1, kNow);
  EXPECT_TRUE(IsStorageFull(file->Flush()));
  std::filesystem::rename(folder / "kept", file->path());
  file->AddScalars({{"a", 2}}, 2, kNow);
  ASSERT_TRUE(file->Flush().ok());
  const auto events = Read(file->path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].summary().value(0).simple_value(), 2);
}

}  // namespace
}  // namespace slipway::trainer
