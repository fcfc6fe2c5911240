#include "services/inference/batching/batcher.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/services/inference/batching/fake_call.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

// x FP32 [-1, 1] -> y FP32 [-1, 1], twice x. A row that is no number fails its whole run.
class DoublingModel final : public LoadedModel {
 public:
  std::string_view platform() const override { return "doubling"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    const int now = ++running_;
    int seen = most_;
    while (now > seen && !most_.compare_exchange_weak(seen, now)) {
    }
    gate.Pass();
    ++runs;
    const auto count = static_cast<size_t>(inputs[0].shape()[0]);
    std::vector<float> values(count);
    std::memcpy(values.data(), inputs[0].data().data(), count * sizeof(float));
    absl::Status status;
    for (float& value : values) {
      if (std::isnan(value)) status = absl::InvalidArgumentError("no number");
      value *= 2;
    }
    --running_;
    RETURN_IF_ERROR(status);
    std::string bytes(reinterpret_cast<const char*>(values.data()), count * sizeof(float));
    ASSIGN_OR_RETURN(Tensor y, Tensor::Make("y", DataType::kFp32, {static_cast<int64_t>(count), 1},
                                            Buffer::Own(std::move(bytes)), "y"));
    return TensorBatch{std::move(y)};
  }
  int most() const { return most_; }

  mutable Gate gate;
  mutable std::atomic<int> runs = 0;

 private:
  const Signature signature_ = {{{"x", DataType::kFp32, {-1, 1}}},
                                {{"y", DataType::kFp32, {-1, 1}}}};
  mutable std::atomic<int> running_ = 0;
  mutable std::atomic<int> most_ = 0;
};

TensorBatch Input(const std::vector<float>& rows) {
  std::string bytes(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float));
  return {*Tensor::Make("x", DataType::kFp32, {static_cast<int64_t>(rows.size()), 1},
                        Buffer::Own(std::move(bytes)), "x")};
}

std::vector<float> Output(const CallFate& fate) {
  if (!fate.status.ok()) return {};
  const std::string_view bytes = fate.answer.outputs[0].data().view();
  std::vector<float> rows(bytes.size() / sizeof(float));
  std::memcpy(rows.data(), bytes.data(), bytes.size());
  return rows;
}

class BatcherTest : public testing::Test {
 protected:
  void Start(int instances, const Clock& clock = Clock::Real(), BatchPolicy policy = {}) {
    queue_ = std::make_unique<ModelQueue>(std::move(policy), "acme", model_);
    batcher_ =
        std::make_unique<Batcher>(Batcher::Options{.instances = instances,
                                                   .answer_together =
                                                       [this](absl::FunctionRef<void()> answer) {
                                                         ++together_;
                                                         answer();
                                                       }},
                                  clock);
    clock_ = &clock;
  }
  std::shared_ptr<CallFate> Submit(const std::vector<float>& rows, int priority = 0,
                                   absl::Duration timeout = absl::InfiniteDuration()) {
    auto fate = std::make_shared<CallFate>();
    auto call = std::make_unique<FakeCall>(fate, Input(rows), [this] {
      MutexLock lock(mutex_);
      ++finished_;
      finished_on_ = std::this_thread::get_id();
      changed_.SignalAll();
    });
    call->arrived = clock_->Monotonic();
    call->deadline = call->arrived + timeout;
    call->priority = priority;
    batcher_->Submit(*queue_, std::move(call));
    return fate;
  }
  // The thread that the last of them was finished on.
  std::thread::id AwaitFinished(int count) {
    MutexLock lock(mutex_);
    while (finished_ < count) changed_.Wait(mutex_);
    return finished_on_;
  }

  std::shared_ptr<DoublingModel> model_ = std::make_shared<DoublingModel>();
  std::unique_ptr<ModelQueue> queue_;
  // By which no run takes any time.
  const FakeClock still_;
  const Clock* clock_ = nullptr;
  Mutex mutex_;
  CondVar changed_;
  int finished_ GUARDED_BY(mutex_) = 0;
  std::thread::id finished_on_ GUARDED_BY(mutex_);
  std::atomic<int> together_ = 0;  // batches that were answered so
  std::unique_ptr<Batcher> batcher_;
};

TEST_F(BatcherTest, CallsOfOneBatchGetTheirOwnRows) {
  Start(1);
  batcher_->HoldUntil(*queue_, 3);
  const auto a = Submit({1, 2});
  const auto b = Submit({3});
  const auto c = Submit({4, 5, 6});
  AwaitFinished(3);
  EXPECT_THAT(Output(*a), ElementsAre(2, 4));
  EXPECT_THAT(Output(*b), ElementsAre(6));
  EXPECT_THAT(Output(*c), ElementsAre(8, 10, 12));
  EXPECT_EQ(model_->runs, 1);
  EXPECT_NEAR(absl::FDivDuration(a->answer.compute, b->answer.compute), 2, 0.1)
      << "a call's share of the run's time";
}

TEST_F(BatcherTest, OneBadRowFailsItsOwnCallOnly) {
  Start(2);
  batcher_->HoldUntil(*queue_, 3);
  const auto good = Submit({1});
  const auto bad = Submit({NAN});
  const auto other = Submit({2});
  AwaitFinished(3);
  EXPECT_THAT(Output(*good), ElementsAre(2));
  EXPECT_THAT(Output(*other), ElementsAre(4));
  EXPECT_TRUE(absl::IsInvalidArgument(bad->status)) << bad->status;
  EXPECT_EQ(model_->runs, 4) << "together, then each alone";
}

TEST_F(BatcherTest, AQuickCallRunsOnItsCallersThread) {
  Start(1, still_);
  int calls = 0;
  // From the call on after whose start nothing runs any more and which knows how quick it is.
  std::thread::id ran_on;
  while (ran_on != std::this_thread::get_id()) {
    Submit({1});
    ran_on = AwaitFinished(++calls);
  }
}

TEST_F(BatcherTest, WhatComesWhileACallersThreadRunsIsRunByTheBatchers) {
  Start(1, still_);
  Submit({1});
  AwaitFinished(1);
  model_->gate.Close();
  {
    const std::jthread caller([this] { Submit({2}); });
    model_->gate.AwaitWaiting(1);
    const auto next = Submit({3});
    EXPECT_EQ(next->finished, 0);
    model_->gate.Open();
    AwaitFinished(3);
    EXPECT_THAT(Output(*next), ElementsAre(6));
  }
}

TEST_F(BatcherTest, AnswersTheCallsOfABatchTogether) {
  Start(1);
  batcher_->HoldUntil(*queue_, 2);
  const auto first = Submit({1});
  const auto second = Submit({2});
  AwaitFinished(2);
  EXPECT_THAT(Output(*first), ElementsAre(2));
  EXPECT_THAT(Output(*second), ElementsAre(4));
  EXPECT_EQ(together_, 1);
}

TEST_F(BatcherTest, AFullQueueAnswersAtOnce) {
  Start(1, Clock::Real(), {.queues = {QueuePolicy{.max_calls = 2}}});
  batcher_->HoldUntil(*queue_, 3);
  Submit({1});
  Submit({2});
  const auto refused = Submit({3});
  EXPECT_TRUE(absl::IsUnavailable(refused->status)) << refused->status;
  batcher_->HoldUntil(*queue_, 0);
  AwaitFinished(3);
}

TEST_F(BatcherTest, ACallThatWaitsTooLongIsToldSoWhileAllInstancesAreBusy) {
  Start(1, Clock::Real(),
        {.queues = {QueuePolicy{}, QueuePolicy{.timeout = absl::Milliseconds(1)}}});
  model_->gate.Close();
  Submit({1});
  model_->gate.AwaitWaiting(1);
  const auto late = Submit({2}, /*priority=*/0, absl::Milliseconds(1));
  AwaitFinished(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late->status)) << late->status;
  const auto impatient = Submit({3}, /*priority=*/1);
  AwaitFinished(2);
  EXPECT_TRUE(absl::IsUnavailable(impatient->status)) << impatient->status;
  model_->gate.Open();
  AwaitFinished(3);
}

TEST_F(BatcherTest, UnderLoadEveryCallIsAnsweredOnceAndNoMoreRunThanThereAreInstances) {
  constexpr int kThreads = 4;
  constexpr int kEach = 3000;
  Start(2, Clock::Real(),
        {.max_delay = absl::Microseconds(100),
         .queues = {QueuePolicy{.max_calls = kThreads * kEach}}});
  std::vector<std::vector<std::shared_ptr<CallFate>>> fates(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          fates[static_cast<size_t>(t)].push_back(Submit({static_cast<float>(i)}));
        }
      });
    }
  }
  AwaitFinished(kThreads * kEach);
  for (const auto& of_thread : fates) {
    for (size_t i = 0; i < of_thread.size(); ++i) {
      ASSERT_EQ(of_thread[i]->finished, 1);
      ASSERT_THAT(Output(*of_thread[i]), ElementsAre(2 * static_cast<float>(i)));
    }
  }
  EXPECT_LE(model_->most(), 2);
}

}  // namespace
}  // namespace slipway::worker
