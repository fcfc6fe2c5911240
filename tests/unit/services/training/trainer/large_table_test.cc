// A table four times as large as the memory that its trainer may take.

#include <sys/mman.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "services/training/trainer/training_run.h"
#include "tests/support/fake_clock.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/fake_attempt.h"

namespace slipway::trainer {
namespace {

constexpr int kRows = 56'000;
constexpr int kColumns = 200;
constexpr size_t kMemory = size_t{20} << 20;

// What the process may take beyond what it has: heap and private mappings, not mapped files. Lifted
// when the object goes.
class MemoryCap {
 public:
  explicit MemoryCap(size_t bytes) {
    EXPECT_EQ(::getrlimit(RLIMIT_DATA, &before_), 0);
    rlimit cap = before_;
    cap.rlim_cur = Used() + bytes;
    EXPECT_EQ(::setrlimit(RLIMIT_DATA, &cap), 0);
  }
  ~MemoryCap() { ::setrlimit(RLIMIT_DATA, &before_); }
  MemoryCap(const MemoryCap&) = delete;
  MemoryCap& operator=(const MemoryCap&) = delete;

 private:
  static size_t Used() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
      size_t kilobytes = 0;
      if (word == "VmData:" && status >> kilobytes) return kilobytes << 10;
    }
    ADD_FAILURE() << "the kernel does not say how much memory is used";
    return 0;
  }

  rlimit before_{};
};

TEST(LargeTableTest, IsTrainedOnInAQuarterOfItsSize) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer takes memory of its own";
  const TempDir folder;
  {
    std::ofstream file(folder / "table.csv");
    for (int i = 0; i < kColumns; ++i) file << "x" << i << ",";
    file << "kind,y\n";
    for (int row = 0; row < kRows; ++row) {
      for (int i = 0; i < kColumns; ++i) file << (row * 31 + i * 17) % 100'000 << ".5,";
      file << "kind" << row % 7 << "," << row % 3 << "\n";
    }
  }
  EXPECT_GT(std::filesystem::file_size(folder / "table.csv"), 4 * kMemory);

  training::v1::JobSpec job;
  const auto parsed = google::protobuf::util::JsonStringToMessage(R"({
      "model": "m", "dataset": "d",
      "data": {"format": "csv", "train": {"inputs": "table.csv"}, "target_column": "y",
               "test_fraction": 0.1, "validation_fraction": 0.1, "drop_duplicates": true,
               "columns": [{"name": "*", "scale": "standardize"},
                           {"name": "kind", "kind": "category"}]},
      "architecture": {"type": "mlp", "hidden": [4]},
      "loss": {"type": "cross_entropy"},
      "optimizer": {"type": "sgd", "learning_rate": 0.01},
      "training": {"epochs": 1, "batch_size": 256, "seed": 5}})",
                                                                  &job);
  ASSERT_TRUE(parsed.ok()) << parsed.ToString();
  TrainingRunOptions options;
  options.spec = training::ParseSpec(job).value();
  options.checkpoint_dir = folder / "ck";
  FakeAttemptHost host(folder.path().string());
  const FakeLearner::Script script;
  const FakeClock clock;

  const MemoryCap cap(kMemory);
  // The cap holds: what would not fit is refused.
  EXPECT_EQ(
      ::mmap(nullptr, 2 * kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      MAP_FAILED);
  const auto outcome = RunTraining(
      options, host,
      [&](nn::Network network) -> absl::StatusOr<std::unique_ptr<Learner>> {
        return std::make_unique<FakeLearner>(std::move(network), script);
      },
      clock);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, RunOutcome::kCompleted);
}

}  // namespace
}  // namespace slipway::trainer
