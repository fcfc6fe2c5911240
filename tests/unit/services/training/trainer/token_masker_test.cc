#include "services/training/trainer/data/token_masker.h"

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace slipway::trainer {
namespace {

constexpr int64_t kLength = 40;

// Bytes: ids 2 to 257, and 258 is the mask.
Tokenizer Bytes() { return Tokenizer({.unit = Tokenizer::Unit::kByte, .has_mask = true}); }

TokenMasker Masker(double probability = 0.15, uint64_t seed = 7) {
  return TokenMasker({.mask_probability = probability}, Bytes(), kLength, seed);
}

// Row r holds 2 + (r + t) % 50 at step t.
Batch Rows(int64_t first, int64_t size) {
  Batch batch;
  batch.size = size;
  for (int64_t row = first; row < first + size; ++row) {
    for (int64_t t = 0; t < kLength; ++t) {
      const auto id = static_cast<float>(2 + (row + t) % 50);
      batch.inputs.insert(batch.inputs.end(), reinterpret_cast<const char*>(&id),
                          reinterpret_cast<const char*>(&id + 1));
    }
  }
  return batch;
}

std::vector<float> IdsOf(const Batch& batch) {
  std::vector<float> ids(batch.inputs.size() / sizeof(float));
  std::memcpy(ids.data(), batch.inputs.data(), batch.inputs.size());
  return ids;
}

TEST(TokenMaskerTest, AsksForAsManyTokensOfEachRowAndHidesEightInTen) {
  constexpr int64_t kRows = 5000;
  const std::vector<float> before = IdsOf(Rows(0, kRows));
  Batch batch = Rows(0, kRows);
  Masker().Apply(0, batch);
  const std::vector<float> after = IdsOf(batch);
  ASSERT_EQ(batch.steps.size(), kRows * 6);  // 15% of 40
  ASSERT_EQ(batch.classes.size(), batch.steps.size());
  std::set<int64_t> asked;
  std::vector<int> places(kLength);
  int masked = 0;
  int same = 0;
  std::set<float> others;
  for (size_t i = 0; i < batch.steps.size(); ++i) {
    const int64_t step = batch.steps[i];
    EXPECT_EQ(step / kLength, static_cast<int64_t>(i) / 6) << "each row has its own";
    EXPECT_TRUE(asked.insert(step).second);
    ++places[static_cast<size_t>(step % kLength)];
    const float id = after[static_cast<size_t>(step)];
    EXPECT_EQ(static_cast<float>(batch.classes[i]), before[static_cast<size_t>(step)]);
    if (id == 258) {
      ++masked;
    } else if (id == before[static_cast<size_t>(step)]) {
      ++same;
    } else {
      others.insert(id);
    }
  }
  const auto count = static_cast<double>(batch.steps.size());
  EXPECT_NEAR(masked / count, 0.8, 0.01);
  EXPECT_NEAR(same / count, 0.1, 0.01);
  EXPECT_EQ(others.size(), 256u) << "any token, and nothing else";
  EXPECT_EQ(*others.begin(), 2);
  for (const int times : places) EXPECT_NEAR(times / count, 1.0 / kLength, 0.005);
  for (size_t i = 0; i < after.size(); ++i) {
    if (asked.contains(static_cast<int64_t>(i))) continue;
    EXPECT_EQ(after[i], before[i]);
  }
}

TEST(TokenMaskerTest, WhatIsHiddenFollowsFromSeedAndPlaceAlone) {
  Batch whole = Rows(0, 8);
  Masker().Apply(100, whole);
  // The same rows in two batches.
  Batch first = Rows(0, 3);
  Batch second = Rows(3, 5);
  Masker().Apply(100, first);
  Masker().Apply(103, second);
  std::vector<char> inputs = first.inputs;
  inputs.insert(inputs.end(), second.inputs.begin(), second.inputs.end());
  EXPECT_EQ(inputs, whole.inputs);
  std::vector<int64_t> steps = first.steps;
  for (const int64_t step : second.steps) steps.push_back(step + 3 * kLength);
  EXPECT_EQ(steps, whole.steps);

  Batch later = Rows(0, 8);
  Masker().Apply(108, later);
  EXPECT_NE(later.steps, whole.steps) << "the next epoch hides others";
  Batch other = Rows(0, 8);
  Masker(0.15, 8).Apply(100, other);
  EXPECT_NE(other.steps, whole.steps);
}

TEST(TokenMaskerTest, ARowThatIsShortIsAskedForOneToken) {
  Batch batch = Rows(0, 2);
  Masker(0.001).Apply(0, batch);
  EXPECT_EQ(batch.steps.size(), 2u);
  // A batch is used again.
  Masker(0.999).Apply(0, batch);
  EXPECT_EQ(batch.steps.size(), 80u);
}

}  // namespace
}  // namespace slipway::trainer
