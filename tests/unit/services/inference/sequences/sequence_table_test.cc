#include "services/inference/sequences/sequence_table.h"

#include <cstring>
#include <map>
#include <random>
#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inference/batching/batch_scheduler.h"
#include "tests/support/fake_clock.h"

namespace slipway::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A model whose state is one number.
const Signature kCounter = {
    .inputs = {{"x", DataType::kInt64, {-1, 1}}, {"sum", DataType::kInt64, {-1, 1}}},
    .outputs = {{"y", DataType::kInt64, {-1, 1}}, {"new_sum", DataType::kInt64, {-1, 1}}}};

StateLayout CounterLayout() { return *StateLayout::Make(kCounter, {{"sum", "new_sum"}}, "states"); }

TensorBatch States(int64_t sum) {
  std::string bytes(reinterpret_cast<const char*>(&sum), sizeof(sum));
  return {*Tensor::Make("sum", DataType::kInt64, {1, 1}, Buffer::Own(std::move(bytes)), "sum")};
}

int64_t SumIn(const TensorBatch& states) {
  int64_t sum;
  std::memcpy(&sum, states[0].data().data(), sizeof(sum));
  return sum;
}

class SequenceTableTest : public testing::Test {
 protected:
  static SequenceStep Start(const std::string& id) { return {.id = id, .start = true}; }
  static SequenceStep Step(const std::string& id) { return {.id = id}; }
  static SequenceStep End(const std::string& id) { return {.id = id, .end = true}; }

  // What becomes of it goes to begun_, as "name:sum" or "name!CODE".
  void Enter(const std::string& name, const SequenceStep& step) {
    table_.Enter(step, [this, name](absl::StatusOr<TensorBatch> states) {
      last_ = states.status();
      begun_.push_back(states.ok() ? fmt::format("{}:{}", name, SumIn(*states))
                                   : fmt::format("{}!{}", name,
                                                 absl::StatusCodeToString(states.status().code())));
    });
  }
  void Succeed(const SequenceStep& step, int64_t sum) { table_.Leave(step, States(sum))(); }
  void Fail(const SequenceStep& step) { table_.Leave(step, std::nullopt)(); }
  // One call from its entry to its end.
  void Run(const SequenceStep& step, int64_t sum) {
    Enter("run", step);
    Succeed(step, sum);
  }

  FakeClock clock_;
  SequenceTable table_{
      CounterLayout(), {.idle_timeout = absl::Seconds(10), .max_sequences = 3}, clock_};
  std::vector<std::string> begun_;
  absl::Status last_;
};

TEST_F(SequenceTableTest, AStateGoesFromCallToCall) {
  Enter("a", Start("1"));
  Succeed(Start("1"), 5);
  Enter("b", Step("1"));
  Succeed(Step("1"), 8);
  Enter("c", End("1"));
  Succeed(End("1"), 9);
  EXPECT_THAT(begun_, ElementsAre("a:0", "b:5", "c:8"));
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(SequenceTableTest, WhatWasNotStartedOrHasEndedIsUnknown) {
  Enter("a", Step("1"));
  EXPECT_THAT(std::string(last_.message()), HasSubstr("sequence 1 is not known"));
  Run(Start("1"), 5);
  Run(End("1"), 6);
  Enter("b", Step("1"));
  EXPECT_THAT(begun_,
              ElementsAre("a!FAILED_PRECONDITION", "run:0", "run:5", "b!FAILED_PRECONDITION"));
}

TEST_F(SequenceTableTest, SequencesDoNotMeet) {
  Run(Start("1"), 5);
  Run(Start("2"), 7);
  Enter("a", Step("1"));
  Enter("b", Step("2"));
  EXPECT_THAT(begun_, ElementsAre("run:0", "run:0", "a:5", "b:7"));
}

TEST_F(SequenceTableTest, CallsOfOneSequenceWaitForEachOther) {
  Enter("a", Start("1"));
  Enter("b", Step("1"));
  Enter("c", Step("1"));
  EXPECT_THAT(begun_, ElementsAre("a:0"));
  Succeed(Start("1"), 5);
  EXPECT_THAT(begun_, ElementsAre("a:0", "b:5"));
  Succeed(Step("1"), 6);
  EXPECT_THAT(begun_, ElementsAre("a:0", "b:5", "c:6"));
}

TEST_F(SequenceTableTest, AFailedCallLeavesTheStateAsItWas) {
  Run(Start("1"), 5);
  Enter("a", Step("1"));
  Enter("b", Step("1"));
  Fail(Step("1"));
  Fail(Step("1"));
  // Neither does an end that fails end it, nor a start begin anew.
  Enter("c", End("1"));
  Fail(End("1"));
  Enter("d", Start("1"));
  Fail(Start("1"));
  Enter("e", Step("1"));
  EXPECT_THAT(begun_, ElementsAre("run:0", "a:5", "b:5", "c:5", "d:0", "e:5"));
}

TEST_F(SequenceTableTest, WhereTheStartFailsThereIsNoSequence) {
  Enter("a", Start("1"));
  Enter("b", Step("1"));
  Enter("c", Start("1"));
  Enter("d", Step("1"));
  Fail(Start("1"));
  EXPECT_THAT(begun_, ElementsAre("a:0", "b!FAILED_PRECONDITION", "c:0"));
  Fail(Start("1"));
  EXPECT_THAT(begun_.back(), "d!FAILED_PRECONDITION");
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(SequenceTableTest, AStartBeginsAnewBehindTheCallsThatCameBefore) {
  Run(Start("1"), 5);
  Enter("a", Step("1"));
  Enter("b", Start("1"));
  Succeed(Step("1"), 6);
  Succeed(Start("1"), 1);
  Enter("c", Step("1"));
  EXPECT_THAT(begun_, ElementsAre("run:0", "a:5", "b:0", "c:1"));
}

TEST_F(SequenceTableTest, OneThatNoCallCameForIsForgotten) {
  Run(Start("1"), 5);
  clock_.Advance(absl::Seconds(9));
  Run(Step("1"), 6);
  Run(Start("2"), 7);
  clock_.Advance(absl::Seconds(9));
  Run(Step("2"), 8);
  clock_.Advance(absl::Seconds(1));
  begun_.clear();
  Enter("a", Step("1"));
  Enter("b", Step("2"));
  EXPECT_THAT(begun_, ElementsAre("a!FAILED_PRECONDITION", "b:8"));
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(SequenceTableTest, OneWhoseCallTakesLongIsNot) {
  Run(Start("1"), 5);
  Enter("a", Step("1"));
  clock_.Advance(absl::Minutes(1));
  Enter("b", Step("1"));
  Succeed(Step("1"), 6);
  EXPECT_THAT(begun_, ElementsAre("run:0", "a:5", "b:6"));
}

TEST_F(SequenceTableTest, OneTooManyIsRefusedUntilAnotherEndsOrIsForgotten) {
  for (const char* id : {"1", "2", "3"}) Run(Start(id), 5);
  begun_.clear();
  Enter("a", Start("4"));
  EXPECT_THAT(begun_, ElementsAre("a!UNAVAILABLE"));
  // Those that are there go on, and may start anew.
  Run(Start("1"), 5);
  Run(End("2"), 5);
  Run(Start("4"), 5);
  clock_.Advance(absl::Seconds(10));
  for (const char* id : {"5", "6", "7"}) Run(Start(id), 5);
  EXPECT_EQ(begun_.back(), "run:0");
  EXPECT_EQ(table_.size(), 3u);
}

TEST_F(SequenceTableTest, OnlySoManyCallsOfOneSequenceWait) {
  Enter("first", Start("1"));
  for (size_t i = 0; i < SequenceTable::kMaxWaiting; ++i) Enter("waits", Step("1"));
  EXPECT_THAT(begun_, ElementsAre("first:0"));
  Enter("one more", Step("1"));
  EXPECT_THAT(begun_, ElementsAre("first:0", "one more!UNAVAILABLE"));
}

// Sequences on the batch scheduler, by a clock of their own: callers of many sequences who send
// several calls ahead, runs that fail, callers who are gone for too long. Each call adds one to its
// sequence's state, so that a call that is lost, doubled or out of order shows in the sum.
class SequenceSimulation : public testing::TestWithParam<uint64_t> {
 protected:
  class Call final : public BatchCall {
   public:
    Call(SequenceStep which, int64_t place, int64_t from)
        : step(std::move(which)), number(place), sum(from) {}
    bool Abandoned() const override { return false; }
    const TensorBatch& inputs() const override { return none_; }
    void ReportRun(int64_t, const RunTimes&) override {}
    void Finish(absl::StatusOr<CallAnswer>) override {}

    const SequenceStep step;
    const int64_t number;
    const int64_t sum;

   private:
    const TensorBatch none_;
  };
  // What a caller knows of its sequence.
  struct Caller {
    int64_t sent = 0;
    int64_t ran = 0;
    int64_t sum = 0;
    bool running = false;
  };

  void Send(const std::string& id) {
    Caller& caller = callers_[id];
    const int64_t number = caller.sent++;
    const SequenceStep step = {.id = id, .start = number == 0};
    table_.Enter(step, [this, step, number](absl::StatusOr<TensorBatch> states) {
      ASSERT_TRUE(states.ok()) << states.status();
      Caller& owner = callers_[step.id];
      EXPECT_FALSE(owner.running) << "two calls of " << step.id << " at once";
      EXPECT_EQ(number, owner.ran) << "out of order in " << step.id;
      EXPECT_EQ(SumIn(*states), owner.sum) << "another state than was left in " << step.id;
      owner.running = true;
      BatchCallPtr call = std::make_unique<Call>(step, number, SumIn(*states));
      call->arrived = clock_.Monotonic();
      std::vector<DroppedCall> dropped;
      ASSERT_TRUE(scheduler_.Push(queue_, call, clock_.Monotonic(), dropped).ok());
    });
  }

  void Serve(Batch& batch) {
    clock_.Advance(absl::Milliseconds(1));
    scheduler_.Ran(batch, absl::Milliseconds(1), clock_.Monotonic());
    largest_ = std::max(largest_, batch.calls.size());
    for (const BatchCallPtr& each : batch.calls) {
      const auto& call = static_cast<const Call&>(*each);
      Caller& caller = callers_[call.step.id];
      caller.running = false;
      ++caller.ran;
      // The first must not fail here, since what follows it would be refused.
      const bool fails = call.number > 0 && std::bernoulli_distribution(0.1)(random_);
      if (!fails) caller.sum = call.sum + 1;
      std::optional<TensorBatch> states;
      if (!fails) states = States(call.sum + 1);
      table_.Leave(call.step, std::move(states))();
    }
  }

  std::mt19937_64 random_{GetParam()};
  FakeClock clock_;
  SequenceTable table_{CounterLayout(), {.max_sequences = 100}, clock_};
  BatchScheduler scheduler_;
  ModelQueue queue_{{.max_rows = 16, .max_delay = absl::ZeroDuration()}, "acme", nullptr};
  std::map<std::string, Caller> callers_;
  size_t largest_ = 0;
};

TEST_P(SequenceSimulation, EachGoesInOrderOneAtATimeAndTheyShareBatches) {
  constexpr int kSequences = 20;
  constexpr int64_t kCalls = 2000;
  for (int64_t sent = 0; sent < kCalls || !queue_.empty();) {
    for (int burst = std::uniform_int_distribution(0, 12)(random_); burst > 0 && sent < kCalls;
         --burst, ++sent) {
      Send(std::to_string(std::uniform_int_distribution(1, kSequences)(random_)));
    }
    BatchScheduler::Turn turn = scheduler_.Next(clock_.Monotonic());
    ASSERT_THAT(turn.dropped, IsEmpty());
    if (turn.batch.queue != nullptr) Serve(turn.batch);
  }
  int64_t ran = 0;
  for (const auto& [id, caller] : callers_) {
    EXPECT_EQ(caller.ran, caller.sent) << id;
    ran += caller.ran;
  }
  EXPECT_EQ(ran, kCalls);
  EXPECT_GE(largest_, 8u);
  EXPECT_EQ(table_.size(), callers_.size());
  clock_.Advance(absl::Minutes(1));
  table_.Enter({.id = "last", .start = true}, [](const absl::StatusOr<TensorBatch>&) {});
  EXPECT_EQ(table_.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SequenceSimulation, testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace slipway::worker
