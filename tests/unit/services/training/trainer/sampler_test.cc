#include "services/training/trainer/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/training/trainer/data/random.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAreArray;

std::vector<int64_t> Rows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), int64_t{100});
  return rows;
}

std::vector<int64_t> Take(const Sampler::Slice& slice) {
  return {slice.rows->begin() + slice.first, slice.rows->begin() + slice.first + slice.size};
}

TEST(PartOfTest, TheProcessesTakeAllRowsAndNoneTakesOne) {
  for (int64_t size = 1; size <= 70; ++size) {
    for (const int processes : {1, 2, 3, 4, 64}) {
      int64_t taken = 0;
      for (int rank = 0; rank < processes; ++rank) {
        const Part part = PartOf(size, rank, processes);
        if (part.size == 0) continue;
        EXPECT_EQ(part.first, taken) << size << " rows, rank " << rank << " of " << processes;
        EXPECT_GE(part.size, std::min<int64_t>(size, 2));
        taken += part.size;
      }
      EXPECT_EQ(taken, size);
    }
  }
  EXPECT_EQ(PartOf(64, 3, 4).first, 48);
  EXPECT_EQ(PartOf(64, 3, 4).size, 16);
}

TEST(RandomTest, GivesTheSameNumbersForEver) {
  Random random(1, 0);
  // A change here would break every checkpoint and the promise that a seed decides a training.
  EXPECT_EQ(random.Next(), 9663302212685962681u);
  std::vector<int64_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Shuffle(rows, Random(42, 7));
  EXPECT_THAT(rows, ElementsAre(8, 0, 9, 4, 1, 6, 2, 7, 5, 3));
}

TEST(RandomTest, SeedsAndStreamsDiffer) {
  EXPECT_NE(Random(1, 0).Next(), Random(2, 0).Next());
  EXPECT_NE(Random(1, 0).Next(), Random(1, 1).Next());
  EXPECT_NE(Random(0, 1).Next(), Random(1, 0).Next());
}

TEST(RandomTest, BelowIsEven) {
  Random random(3, 0);
  std::vector<int> counts(7);
  constexpr int kDraws = 70'000;
  for (int i = 0; i < kDraws; ++i) ++counts[random.Below(7)];
  // The standard deviation of a count is 93.
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 7, 500);
}

TEST(SamplerTest, EachEpochTakesEachRowOnceInAnotherOrder) {
  Sampler sampler(Rows(10), 3, 1);
  ASSERT_EQ(sampler.steps_per_epoch(), 3);  // 3 + 3 + 3, and one row that would be alone
  std::vector<std::vector<int64_t>> epochs;
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<int64_t> rows;
    for (int step = 0; step < 3; ++step) {
      const auto batch = Take(sampler.At(epoch * 3 + step));
      EXPECT_EQ(batch.size(), 3u);
      rows.insert(rows.end(), batch.begin(), batch.end());
    }
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(std::unique(rows.begin(), rows.end()), rows.end());
    epochs.push_back(Take(sampler.At(epoch * 3)));
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST(SamplerTest, TheLastBatchMayBeSmaller) {
  Sampler sampler(Rows(8), 3, 1);
  EXPECT_EQ(sampler.steps_per_epoch(), 3);
  EXPECT_EQ(sampler.At(2).size, 2);
  Sampler one(Rows(1), 3, 1);
  EXPECT_EQ(one.steps_per_epoch(), 1);
  EXPECT_EQ(one.At(5).size, 1);
  Sampler larger_than_all(Rows(5), 100, 1);
  EXPECT_THAT(Take(larger_than_all.At(0)), UnorderedElementsAreArray(Rows(5)));
}

TEST(SamplerTest, AnyStepCanBeAskedForFirst) {
  Sampler all(Rows(20), 4, 9);
  std::vector<std::vector<int64_t>> batches;
  for (int step = 0; step < 15; ++step) batches.push_back(Take(all.At(step)));
  for (int step = 14; step >= 0; --step) {
    Sampler fresh(Rows(20), 4, 9);
    EXPECT_EQ(Take(fresh.At(step)), batches[static_cast<size_t>(step)]);
  }
}

}  // namespace
}  // namespace slipway::trainer
