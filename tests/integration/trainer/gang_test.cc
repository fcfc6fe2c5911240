#include "services/training/trainer/gang.h"

#include <torch/torch.h>

#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "services/training/trainer/shared_sums.h"
#include "tests/support/temp_dir.h"

namespace slipway::trainer {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);

// Numbers that differ from rank to rank, and whose sum depends on the order.
at::Tensor NumbersOf(int rank, int64_t size, at::ScalarType type) {
  const auto options = at::TensorOptions().dtype(type);
  return at::arange(1, size + 1, options).div(3).pow(rank + 1).mul(rank % 2 == 0 ? 1 : -0.7);
}
at::Tensor SumOf(int ranks, int64_t size, at::ScalarType type) {
  at::Tensor sum = NumbersOf(0, size, type);
  for (int rank = 1; rank < ranks; ++rank) sum.add_(NumbersOf(rank, size, type));
  return sum;
}

// One thread stands for each process: it has its own mapping of the memory.
void ForEachRank(int ranks, const std::function<void(int rank, SharedSums& sums)>& visit) {
  const auto memory = SharedMemory::Make();
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      SharedSums sums(SharedMemory::Open(memory->path()), rank, ranks);
      visit(rank, sums);
    });
  }
}

TEST(SharedSumsTest, AreTheSameBitsInEachProcess) {
  for (const int ranks : {2, 3, 4}) {
    ForEachRank(ranks, [&](int rank, SharedSums& sums) {
      // Others each time, also fewer than there are processes.
      for (const int64_t size : {1000, 3, 70'001, 1, 1000}) {
        const std::vector<at::Tensor> own = {NumbersOf(rank, size, at::kFloat),
                                             NumbersOf(rank, size / 2 + 1, at::kDouble)};
        sums.Sum(own, kPatience);
        EXPECT_TRUE(torch::equal(own[0], SumOf(ranks, size, at::kFloat))) << ranks << " " << size;
        EXPECT_TRUE(torch::equal(own[1], SumOf(ranks, size / 2 + 1, at::kDouble)));
      }
    });
  }
}

TEST(SharedSumsTest, GiveWhatTheFirstProcessHas) {
  ForEachRank(3, [](int rank, SharedSums& sums) {
    for (int turn = 0; turn < 500; ++turn) {
      const at::Tensor tensor = at::full({2, 5}, rank == 0 ? turn : -1.0, at::kDouble);
      sums.Share(tensor, kPatience);
      EXPECT_TRUE(torch::equal(tensor, at::full({2, 5}, turn, at::kDouble)));
    }
  });
}

TEST(SharedSumsTest, EndWhereAProcessIsLate) {
  SharedSums sums(SharedMemory::Make(), 0, 2);
  EXPECT_THROW(sums.Sum(std::vector<at::Tensor>{at::ones({3})}, absl::Milliseconds(1)),
               std::exception);
}

TEST(GangTest, AddsUpByC10dWhereMemoryIsNotShared) {
  const TempDir dir;
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      GangOptions options;
      options.rank = rank;
      options.processes = 2;
      options.meeting_file = dir / "meeting";
      const auto gang = Gang::Join(options);
      ASSERT_TRUE(gang.ok()) << gang.status();
      const at::Tensor gradients = NumbersOf(rank, 1000, at::kFloat);
      const at::Tensor head = NumbersOf(rank, 7, at::kDouble);
      (*gang)->StartSum(gradients);
      (*gang)->StartSum(head);
      (*gang)->FinishSums();
      EXPECT_TRUE(torch::equal(gradients, SumOf(2, 1000, at::kFloat)));
      EXPECT_TRUE(torch::equal(head, SumOf(2, 7, at::kDouble)));
      (*gang)->Meet();
    });
  }
}

}  // namespace
}  // namespace slipway::trainer
