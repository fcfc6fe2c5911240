#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/training/trainer/best_epochs.h"
#include "services/training/trainer/checkpoint_store.h"
#include "services/training/trainer/checkpoint_writer.h"
#include "tests/support/system_calls.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<Tensor> State(float value) {
  const std::string bytes(reinterpret_cast<const char*>(&value), sizeof(value));
  return {Tensor::Make("w", DataType::kFp32, {1}, Buffer::Own(bytes), "w").value()};
}

float ValueOf(const CheckpointStore::Found& found) {
  float value = 0;
  std::memcpy(&value, found.state->Find("w")->data().data(), sizeof(value));
  return value;
}

class CheckpointStoreTest : public ::testing::Test {
 protected:
  CheckpointStore Open(int keep = 2) { return CheckpointStore::Open(folder_ / "ck", keep).value(); }
  std::string Write(CheckpointStore& store, int64_t step, const std::string& job = "j") {
    const auto written = store.Write(step, State(static_cast<float>(step)), {{"job", job}});
    EXPECT_TRUE(written.ok()) << written.status();
    return folder_ / "ck/" + FileName(step, written->digest);
  }
  static std::string FileName(int64_t step, const std::string& digest) {
    std::string number = std::to_string(step);
    number.insert(0, 12 - number.size(), '0');
    return "checkpoint-" + number + "-" + digest.substr(7) + ".safetensors";
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "ck")) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  TempDir folder_;
};

TEST_F(CheckpointStoreTest, FindsTheNewest) {
  CheckpointStore store = Open();
  EXPECT_FALSE(store.FindNewest("job", "j")->state.has_value());
  Write(store, 9);
  Write(store, 10);
  const auto found = store.FindNewest("job", "j");
  ASSERT_TRUE(found.ok() && found->state.has_value());
  EXPECT_EQ(found->step, 10);
  EXPECT_EQ(ValueOf(*found), 10);
  EXPECT_THAT(found->refused, IsEmpty());
}

TEST_F(CheckpointStoreTest, KeepsTheNewestOnes) {
  CheckpointStore store = Open(2);
  for (int64_t step = 1; step <= 5; ++step) Write(store, step);
  EXPECT_THAT(Files(), ElementsAre(HasSubstr("-000000000004-"), HasSubstr("-000000000005-")));
}

TEST_F(CheckpointStoreTest, KeepsThoseThatItIsToldOfHoweverOld) {
  CheckpointStore store = Open(1);
  const std::vector<int64_t> best = {2, 1};
  for (int64_t step = 1; step <= 5; ++step) {
    ASSERT_TRUE(store.Write(step, State(static_cast<float>(step)), {{"job", "j"}}, best).ok());
  }
  EXPECT_THAT(Files(), ElementsAre(HasSubstr("-000000000001-"), HasSubstr("-000000000002-"),
                                   HasSubstr("-000000000005-")));
  const auto found = store.Find(2, "job", "j");
  ASSERT_TRUE(found.ok() && found->state.has_value());
  EXPECT_EQ(ValueOf(*found), 2);
  EXPECT_FALSE(store.Find(3, "job", "j")->state.has_value());
  // It is the best no more.
  Write(store, 6);
  EXPECT_THAT(Files(), ElementsAre(HasSubstr("-000000000006-")));
}

TEST(BestEpochsTest, TheBestComeFirstAndOfEqualOnesTheEarlier) {
  BestEpochs best;
  const std::pair<int64_t, double> epochs[] = {{10, 0.5}, {20, 0.7}, {30, NAN}, {40, 0.7},
                                               {50, 0.6}, {60, 0.4}, {70, 0.9}};
  for (const auto& [step, metric] : epochs) {
    best.Add(step, metric, /*higher_is_better=*/true, /*most=*/3);
  }
  EXPECT_THAT(best.steps, ElementsAre(70, 20, 40));
  EXPECT_THAT(best.metrics, ElementsAre(0.9, 0.7, 0.7));
  best = {};
  for (const auto& [step, metric] : epochs) {
    best.Add(step, metric, /*higher_is_better=*/false, /*most=*/2);
  }
  EXPECT_THAT(best.steps, ElementsAre(60, 10));
}

// A power cut at any moment leaves a whole checkpoint: the one before goes only when the new one is
// on the disk under its name.
TEST_F(CheckpointStoreTest, RemovesACheckpointOnlyWhenTheNextOneIsOnTheDisk) {
  CheckpointStore store = Open(1);
  Write(store, 1);
  const SystemCalls calls;
  Write(store, 2);
  std::vector<std::string> order;
  for (const SystemCalls::Call& call : calls.calls()) {
    const std::string name = std::filesystem::path(call.path).filename().string();
    const std::string step = call.operation + " " + name.substr(0, name.find("-0000"));
    if (order.empty() || order.back() != step) order.push_back(step);
  }
  EXPECT_THAT(order, ElementsAre("write .checkpoint", "sync .checkpoint", "rename checkpoint",
                                 "sync ck", "remove checkpoint"));
}

TEST_F(CheckpointStoreTest, PassesOverAnyDamage) {
  CheckpointStore store = Open();
  Write(store, 1);
  const std::string newest = Write(store, 2);
  const std::string whole = ReadFile(newest).value();
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string flipped = whole;
    flipped[at] ^= 1;
    WriteFile(newest, flipped);
    const auto found = store.FindNewest("job", "j");
    ASSERT_TRUE(found.ok() && found->state.has_value());
    EXPECT_EQ(found->step, 1) << "byte " << at;
    EXPECT_THAT(found->refused, ElementsAre(HasSubstr("does not have the digest in its name")));
  }
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFile(newest, whole.substr(0, size));
    EXPECT_EQ(store.FindNewest("job", "j")->step, 1) << "cut to " << size;
  }
}

TEST_F(CheckpointStoreTest, PassesOverTheCheckpointsOfAnotherJob) {
  CheckpointStore store = Open();
  Write(store, 1, "j");
  Write(store, 2, "other");
  const auto found = store.FindNewest("job", "j");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->step, 1);
  EXPECT_THAT(found->refused, ElementsAre(HasSubstr("belongs to another job")));
}

TEST_F(CheckpointStoreTest, RemovesWhatAKilledWriteLeftBehind) {
  CheckpointStore store = Open();
  Write(store, 1);
  WriteFile(folder_ / "ck/.checkpoint-000000000002-abc.safetensors.Xy12Zz", "half");
  WriteFile(folder_ / "ck/notes.txt", "not ours");
  EXPECT_EQ(store.FindNewest("job", "j")->step, 1);
  EXPECT_THAT(Files(), ElementsAre(HasSubstr("-000000000001-"), "notes.txt"));
}

TEST_F(CheckpointStoreTest, SaysWhyAWriteFailed) {
  CheckpointStore store = Open();
  std::filesystem::remove_all(folder_ / "ck");
  EXPECT_THAT(std::string(store.Write(1, State(1), {}).status().message()),
              HasSubstr("cannot create"));
}

TEST_F(CheckpointStoreTest, TheWriterWritesAllThatItIsHanded) {
  CheckpointStore store = Open(10);
  {
    CheckpointWriter writer(store);
    for (int64_t step = 1; step <= 4; ++step) {
      writer.Submit(step, State(static_cast<float>(step)), {{"job", "j"}});
    }
    writer.Flush();
    const auto results = writer.TakeResults();
    ASSERT_EQ(results.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      ASSERT_TRUE(results[i].ok()) << results[i].status();
      EXPECT_EQ(results[i]->step, static_cast<int64_t>(i) + 1);
    }
    EXPECT_THAT(writer.TakeResults(), IsEmpty());
    writer.Submit(5, State(5), {{"job", "j"}});
  }  // finishes the last one
  EXPECT_EQ(store.FindNewest("job", "j")->step, 5);
}

}  // namespace
}  // namespace slipway::trainer
