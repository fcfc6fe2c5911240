#include "services/inference/batching/model_queue.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/inference/batching/fake_call.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kNever = absl::InfiniteDuration();

absl::Duration Ms(double count) { return absl::Milliseconds(count); }

struct Spec {
  int64_t rows = 1;
  int priority = 0;
  absl::Duration deadline = kNever;
  std::vector<int64_t> shape = {};
  // Of the dimension that is padded.
  std::vector<int64_t> lengths = {};
};

// Axis 1 of "tokens".
Padding PaddingTo(std::vector<int64_t> buckets) {
  const Signature signature = {{{"tokens", DataType::kInt64, {-1, -1}}},
                               {{"score", DataType::kFp32, {-1, 1}}}};
  return *Padding::Make({{.axes = {{.tensor = "tokens"}}, .buckets = std::move(buckets)}},
                        signature, "padding");
}

// A queue and what became of its calls, which are known by the order of their making.
class ModelQueueTest : public testing::Test {
 protected:
  void Make(BatchPolicy policy, Padding padding = {}) {
    queue_ =
        std::make_unique<ModelQueue>(std::move(policy), "acme", nullptr, Ms(0), std::move(padding));
  }
  absl::Status Push(absl::Duration now, Spec spec = {}) {
    fates_.push_back(std::make_shared<CallFate>());
    BatchCallPtr call = std::make_unique<FakeCall>(fates_.back());
    call->arrived = now;
    call->rows = spec.rows;
    call->priority = spec.priority;
    call->deadline = spec.deadline;
    call->shape = std::move(spec.shape);
    call->lengths = std::move(spec.lengths);
    return queue_->Push(call, now, dropped_);
  }
  // The numbers of the calls of the next batch; they are given up.
  std::vector<int> Take(absl::Duration now) {
    taken_ = queue_->Take(now, dropped_);
    return NumbersOf(taken_);
  }
  std::vector<int> Dropped() {
    std::vector<BatchCallPtr> calls;
    for (DroppedCall& one : dropped_) calls.push_back(std::move(one.call));
    dropped_.clear();
    return NumbersOf(calls);
  }
  std::vector<int> NumbersOf(const std::vector<BatchCallPtr>& calls) const {
    std::vector<int> numbers;
    for (const BatchCallPtr& call : calls) {
      const CallFate* fate = &static_cast<const FakeCall&>(*call).fate();
      for (size_t i = 0; i < fates_.size(); ++i) {
        if (fates_[i].get() == fate) numbers.push_back(static_cast<int>(i));
      }
    }
    return numbers;
  }
  // Runs take 10 ms and 1 ms a row.
  void LearnLatency(absl::Duration now) {
    for (const int64_t rows : {1, 8, 1, 8}) {
      EXPECT_TRUE(Push(now, {.rows = rows}).ok());
      Take(now);
      queue_->Ran(rows, static_cast<double>(rows), Ms(10) + Ms(1) * rows, now);
    }
    fates_.clear();
  }

  std::unique_ptr<ModelQueue> queue_;
  std::vector<std::shared_ptr<CallFate>> fates_;
  std::vector<DroppedCall> dropped_;
  std::vector<BatchCallPtr> taken_;
};

TEST_F(ModelQueueTest, ABatchTakesWhatWaitsWhenItStartsAndNoMoreRowsThanItMay) {
  Make({.max_rows = 4});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Push(Ms(i)).ok());
  ASSERT_TRUE(Push(Ms(3), {.rows = 2}).ok());
  EXPECT_THAT(Take(Ms(4)), ElementsAre(0, 1, 2));
  EXPECT_THAT(Take(Ms(4)), ElementsAre(3));
  EXPECT_TRUE(queue_->empty());
}

TEST_F(ModelQueueTest, ACallWithMoreRowsThanABatchRunsAlone) {
  Make({.max_rows = 4});
  ASSERT_TRUE(Push(Ms(0), {.rows = 9}).ok());
  ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_THAT(Take(Ms(0)), ElementsAre(0));
  EXPECT_THAT(Take(Ms(0)), ElementsAre(1));
}

TEST_F(ModelQueueTest, OnlyOneShapeIsInABatchAndTheFirstCallsGoesFirst) {
  Make({});
  ASSERT_TRUE(Push(Ms(0), {.shape = {64}}).ok());
  ASSERT_TRUE(Push(Ms(0), {.shape = {128}}).ok());
  ASSERT_TRUE(Push(Ms(0), {.shape = {64}}).ok());
  ASSERT_TRUE(Push(Ms(0), {.shape = {128}}).ok());
  EXPECT_THAT(Take(Ms(0)), ElementsAre(0, 2));
  EXPECT_THAT(Take(Ms(0)), ElementsAre(1, 3));
}

TEST_F(ModelQueueTest, LengthsThatArePaddedGoTogetherUpToTwiceTheirOwn) {
  Make({}, PaddingTo({}));
  for (const int64_t length : {10, 20, 21, 4, 10, 5}) {
    ASSERT_TRUE(Push(Ms(0), {.lengths = {length}}).ok());
  }
  EXPECT_THAT(Take(Ms(0)), ElementsAre(0, 1, 4)) << "21 and 4 are too far from 10, 5 is from 20";
  EXPECT_THAT(Take(Ms(0)), ElementsAre(2));
  EXPECT_THAT(Take(Ms(0)), ElementsAre(3, 5));
}

TEST_F(ModelQueueTest, TheLengthThatABucketGivesCounts) {
  Make({}, PaddingTo({16, 32}));
  for (const int64_t length : {9, 7, 15, 40, 33}) {
    ASSERT_TRUE(Push(Ms(0), {.lengths = {length}}).ok());
  }
  EXPECT_THAT(Take(Ms(0)), ElementsAre(0, 2)) << "7 would be padded to more than twice itself";
  EXPECT_THAT(taken_[0]->padded, ElementsAre(16));
  EXPECT_THAT(Take(Ms(0)), ElementsAre(1));
  EXPECT_THAT(taken_[0]->padded, ElementsAre(7));
  EXPECT_THAT(Take(Ms(0)), ElementsAre(3, 4)) << "beyond the buckets lengths are their own";
  EXPECT_THAT(taken_[1]->padded, ElementsAre(33));
}

TEST_F(ModelQueueTest, RunsAreExpectedToTakeTheTimeOfTheirPaddedLength) {
  Make({.max_rows = 32}, PaddingTo({}));
  // 10 ms, and 0.1 ms a position.
  for (const int64_t length : {10, 100, 10, 100}) {
    ASSERT_TRUE(Push(Ms(0), {.lengths = {length}}).ok());
    Take(Ms(0));
    queue_->Ran(1, taken_[0]->work, Ms(10) + Ms(0.1) * length, Ms(0));
  }
  fates_.clear();
  EXPECT_NEAR(absl::ToDoubleMilliseconds(queue_->Predict(200, Ms(0))), 30, 1e-6);
  // Two rows of 100 positions take 30 ms, three 40 ms.
  ASSERT_TRUE(Push(Ms(100), {.deadline = Ms(135), .lengths = {60}}).ok());
  ASSERT_TRUE(Push(Ms(100), {.lengths = {100}}).ok());
  ASSERT_TRUE(Push(Ms(100), {.lengths = {60}}).ok());
  EXPECT_THAT(Take(Ms(100)), ElementsAre(0, 1));
}

TEST_F(ModelQueueTest, UrgentCallsGoFirstAndOthersFillTheirBatch) {
  Make({.max_rows = 3, .queues = {QueuePolicy{}, QueuePolicy{}}});
  ASSERT_TRUE(Push(Ms(0), {.priority = 1}).ok());
  ASSERT_TRUE(Push(Ms(1), {.priority = 0}).ok());
  ASSERT_TRUE(Push(Ms(2), {.priority = 7}).ok());
  ASSERT_TRUE(Push(Ms(3), {.priority = 0}).ok());
  EXPECT_THAT(Take(Ms(4)), ElementsAre(1, 3, 0));
  EXPECT_THAT(Take(Ms(4)), ElementsAre(2));
}

TEST_F(ModelQueueTest, APreferredSizeIsTakenAsSoonAsItIsThere) {
  Make({.max_rows = 32, .preferred_rows = {4, 8}});
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_EQ(queue_->ReadyAt(Ms(0)), Ms(0));
  EXPECT_EQ(Take(Ms(0)).size(), 4u);
  EXPECT_EQ(Take(Ms(0)).size(), 2u);
}

TEST_F(ModelQueueTest, WaitsForTheCallersOfTheLastBatchesButNoLongerThanItMay) {
  Make({.max_rows = 32, .max_delay = Ms(5)});
  LearnLatency(Ms(0));
  // Eight rows were under way at once; the fixed part of a run, 10 ms, is what waiting may save.
  ASSERT_TRUE(Push(Ms(100)).ok());
  EXPECT_EQ(queue_->ReadyAt(Ms(100)), Ms(105));
  ASSERT_TRUE(Push(Ms(101)).ok());
  EXPECT_EQ(queue_->ReadyAt(Ms(101)), Ms(105));
  ASSERT_TRUE(Push(Ms(101), {.rows = 6}).ok());
  EXPECT_EQ(queue_->ReadyAt(Ms(101)), Ms(101)) << "all of them are there";
}

TEST_F(ModelQueueTest, WaitsNoLongerThanWaitingCanSave) {
  Make({.max_rows = 32, .max_delay = absl::Seconds(1)});
  LearnLatency(Ms(0));
  ASSERT_TRUE(Push(Ms(100), {.rows = 4}).ok());
  EXPECT_NEAR(absl::ToDoubleMilliseconds(queue_->ReadyAt(Ms(100))), 102.5, 0.01);
}

TEST_F(ModelQueueTest, ALoneCallerNeverWaits) {
  Make({.max_rows = 32, .max_delay = absl::Seconds(1)});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Push(Ms(i * 20)).ok());
    EXPECT_EQ(queue_->ReadyAt(Ms(i * 20)), Ms(i * 20));
    Take(Ms(i * 20));
    queue_->Ran(1, 1, Ms(10), Ms(i * 20 + 10));
  }
}

TEST_F(ModelQueueTest, StartsInTimeForADeadlineInsteadOfWaiting) {
  Make({.max_rows = 32, .max_delay = absl::Seconds(1)});
  LearnLatency(Ms(0));
  ASSERT_TRUE(Push(Ms(100), {.deadline = Ms(123)}).ok());
  // A run of one row takes 11 ms.
  EXPECT_NEAR(absl::ToDoubleMilliseconds(queue_->ReadyAt(Ms(100))), 101, 0.01);
}

TEST_F(ModelQueueTest, ABatchStopsGrowingWhereItWouldMakeACallLate) {
  Make({.max_rows = 32});
  LearnLatency(Ms(0));
  ASSERT_TRUE(Push(Ms(100), {.deadline = Ms(113)}).ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Push(Ms(100)).ok());
  EXPECT_THAT(Take(Ms(100)), ElementsAre(0, 1, 2));
}

TEST_F(ModelQueueTest, RefusesACallThatCannotBeInTimeBehindOthers) {
  Make({.max_rows = 4});
  LearnLatency(Ms(0));
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(Push(Ms(0)).ok());
  // Two runs of 14 ms, taken twice to be sure, and its own of 11 ms.
  EXPECT_TRUE(absl::IsUnavailable(Push(Ms(0), {.deadline = Ms(66)})));
  EXPECT_TRUE(Push(Ms(0), {.deadline = Ms(68)}).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(Push(Ms(1), {.deadline = Ms(1)})));
}

TEST_F(ModelQueueTest, AnEmptyQueueTakesAnyCallSinceASlowRunMayBeOver) {
  Make({});
  LearnLatency(Ms(0));
  EXPECT_TRUE(Push(Ms(1), {.deadline = Ms(2)}).ok());
  EXPECT_THAT(Take(Ms(1)), ElementsAre(0));
}

TEST_F(ModelQueueTest, WhatIsLateOrAbandonedIsNotRun) {
  Make({});
  ASSERT_TRUE(Push(Ms(0), {.deadline = Ms(5)}).ok());
  ASSERT_TRUE(Push(Ms(0)).ok());
  ASSERT_TRUE(Push(Ms(0)).ok());
  fates_[1]->abandoned = true;
  EXPECT_THAT(Take(Ms(5)), ElementsAre(2));
  ASSERT_EQ(dropped_.size(), 2u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(dropped_[0].why));
  EXPECT_TRUE(absl::IsCancelled(dropped_[1].why));
  EXPECT_THAT(Dropped(), ElementsAre(0, 1));
}

TEST_F(ModelQueueTest, AFullQueueRefusesButCallsThatNobodyWaitsForMakeRoom) {
  Make({.queues = {QueuePolicy{.max_calls = 2}, QueuePolicy{.max_calls = 1}}});
  ASSERT_TRUE(Push(Ms(0)).ok());
  ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_TRUE(absl::IsUnavailable(Push(Ms(0))));
  EXPECT_TRUE(Push(Ms(0), {.priority = 1}).ok()) << "each priority has its own room";
  fates_[0]->abandoned = true;
  EXPECT_TRUE(Push(Ms(20)).ok());
  EXPECT_THAT(Dropped(), ElementsAre(0));
  EXPECT_EQ(queue_->waiting(), 3u);
}

TEST_F(ModelQueueTest, WhatWaitsTooLongIsRefusedOrLetsOthersGoFirst) {
  using Action = QueuePolicy::Action;
  Make({.queues = {QueuePolicy{.timeout = Ms(10), .action = Action::kDelay},
                   QueuePolicy{.timeout = Ms(10), .action = Action::kReject}}});
  ASSERT_TRUE(Push(Ms(0)).ok());
  ASSERT_TRUE(Push(Ms(0), {.priority = 1}).ok());
  ASSERT_TRUE(Push(Ms(5)).ok());
  ASSERT_TRUE(Push(Ms(5), {.priority = 1}).ok());
  EXPECT_EQ(queue_->ExpiresAt(), Ms(10));
  queue_->Expire(Ms(9), dropped_);
  EXPECT_THAT(Dropped(), IsEmpty());
  queue_->Expire(Ms(10), dropped_);
  EXPECT_THAT(Dropped(), ElementsAre(1));
  EXPECT_EQ(queue_->ExpiresAt(), Ms(15));
  EXPECT_THAT(Take(Ms(10)), ElementsAre(2, 0, 3));
}

TEST_F(ModelQueueTest, WhatIsPutBackRunsFirstAndAlone) {
  Make({});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_THAT(Take(Ms(0)), ElementsAre(0, 1, 2));
  queue_->Ran(3, 3, Ms(1), Ms(1));
  ASSERT_TRUE(Push(Ms(1)).ok());
  queue_->PutBack(std::move(taken_));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(queue_->ReadyAt(Ms(1)), Ms(1));
    EXPECT_THAT(Take(Ms(1)), ElementsAre(i));
  }
}

TEST_F(ModelQueueTest, HeldItStartsNothingUntilSoManyWait) {
  Make({});
  queue_->HoldUntil(2);
  ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_EQ(queue_->ReadyAt(absl::Hours(1)), kNever);
  ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_EQ(queue_->ReadyAt(Ms(0)), Ms(0));
  Take(Ms(0));
  ASSERT_TRUE(Push(Ms(0)).ok());
  EXPECT_LT(queue_->ReadyAt(Ms(0)), kNever) << "once";
}

}  // namespace
}  // namespace slipway::worker
