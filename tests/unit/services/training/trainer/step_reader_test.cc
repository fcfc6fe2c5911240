#include "services/training/trainer/data/step_reader.h"

#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/training/trainer/data/augment.h"

namespace slipway::trainer {
namespace {

// 50 pictures of 8 by 8 pixels, each of another class.
Examples Pictures() {
  Examples examples;
  examples.input = {"image", DataType::kUint8, {-1, 8, 8}};
  examples.row_bytes = 64;
  examples.count = 50;
  std::string bytes;
  for (int i = 0; i < 50 * 64; ++i) bytes += static_cast<char>(i * 7);
  examples.inputs = Buffer::Own(std::move(bytes));
  examples.classes.resize(50);
  std::iota(examples.classes.begin(), examples.classes.end(), int64_t{0});
  return examples;
}

class StepReaderTest : public ::testing::Test {
 protected:
  StepReaderTest() {
    std::iota(rows_.begin(), rows_.end(), int64_t{0});
    training::v1::AugmentSpec spec;
    spec.set_flip(true);
    spec.set_shift(2);
    augmenter_ = Augmenter::Make(spec, examples_.input, 3).value();
  }
  Sampler MakeSampler() const { return Sampler(rows_, 16, 3); }
  // With a thread, since pictures are changed.
  StepReader Ahead() const {
    return StepReader(examples_, MakeSampler(),
                      [this](int64_t place, Batch& batch) { augmenter_->Apply(place, batch); },
                      {.batch_size = 8, .step_rows = 16});
  }
  // Its bytes and classes.
  static std::pair<std::string, std::vector<int64_t>> ContentOf(const StepReader::Step& step) {
    std::pair<std::string, std::vector<int64_t>> content;
    for (const Batch& batch : step.batches) {
      content.first.append(batch.inputs.begin(), batch.inputs.end());
      content.second.insert(content.second.end(), batch.classes.begin(), batch.classes.end());
    }
    return content;
  }

  const Examples examples_ = Pictures();
  std::vector<int64_t> rows_ = std::vector<int64_t>(50);
  std::optional<Augmenter> augmenter_;
};

// Without a thread, and changed afterwards.
TEST_F(StepReaderTest, WhatIsGatheredAheadIsWhatTheStepAsksFor) {
  StepReader plain(examples_, MakeSampler(), {}, {.batch_size = 8, .step_rows = 16});
  StepReader ahead = Ahead();
  for (int64_t step = 0; step < 10; ++step) {  // more than two epochs
    StepReader::Step expected = plain.At(step);
    int64_t place = step * 16;
    for (Batch& batch : expected.batches) {
      augmenter_->Apply(place, batch);
      place += batch.size;
    }
    const StepReader::Step& read = ahead.At(step);
    EXPECT_EQ(read.rows, expected.rows);
    EXPECT_EQ(ContentOf(read), ContentOf(expected)) << step;
  }
}

TEST_F(StepReaderTest, AnyStepMayBeTheFirstAndTheNext) {
  StepReader inorder = Ahead();
  std::vector<std::pair<std::string, std::vector<int64_t>>> all;
  for (int64_t step = 0; step < 10; ++step) all.push_back(ContentOf(inorder.At(step)));
  StepReader reader = Ahead();
  for (const int64_t step : {7, 8, 2, 3, 3, 9, 0}) {
    EXPECT_EQ(ContentOf(reader.At(step)), all[static_cast<size_t>(step)]) << step;
  }
}

TEST_F(StepReaderTest, EndsWhetherItWasUsedOrNot) {
  { const StepReader unused = Ahead(); }
  StepReader used = Ahead();
  used.At(0);
}

}  // namespace
}  // namespace slipway::trainer
