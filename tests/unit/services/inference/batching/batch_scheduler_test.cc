#include "services/inference/batching/batch_scheduler.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/inference/batching/fake_call.h"

namespace slipway::worker {
namespace {

absl::Duration Ms(double count) { return absl::Milliseconds(count); }

// Two tenants that always have a batch waiting share one instance.
double ShareOfAcme(std::map<std::string, double> weights, absl::Duration acme_run,
                   absl::Duration bolt_run) {
  BatchScheduler scheduler(std::move(weights));
  ModelQueue acme({.max_rows = 1}, "acme", nullptr);
  ModelQueue bolt({.max_rows = 1}, "bolt", nullptr);
  std::vector<DroppedCall> dropped;
  absl::Duration now;
  absl::Duration acme_time;
  absl::Duration all_time;
  const auto push = [&](ModelQueue& queue) {
    BatchCallPtr call = std::make_unique<FakeCall>(std::make_shared<CallFate>());
    call->arrived = now;
    EXPECT_TRUE(scheduler.Push(queue, call, now, dropped).ok());
  };
  for (int i = 0; i < 3; ++i) {
    push(acme);
    push(bolt);
  }
  for (int i = 0; i < 400; ++i) {
    const BatchScheduler::Turn turn = scheduler.Next(now);
    ModelQueue& queue = *turn.batch.queue;
    const absl::Duration took = &queue == &acme ? acme_run : bolt_run;
    now += took;
    all_time += took;
    if (&queue == &acme) acme_time += took;
    scheduler.Ran(turn.batch, took, now);
    push(queue);
  }
  return absl::FDivDuration(acme_time, all_time);
}

TEST(BatchSchedulerTest, TenantsShareTimeByTheirWeightsWhateverTheirRunsTake) {
  EXPECT_NEAR(ShareOfAcme({}, Ms(1), Ms(1)), 0.5, 0.02);
  EXPECT_NEAR(ShareOfAcme({}, Ms(10), Ms(1)), 0.5, 0.05);
  EXPECT_NEAR(ShareOfAcme({{"acme", 3}}, Ms(1), Ms(1)), 0.75, 0.02);
  EXPECT_NEAR(ShareOfAcme({{"acme", 3}}, Ms(1), Ms(5)), 0.75, 0.05);
}

TEST(BatchSchedulerTest, IdleTimeIsNotSavedUpAndPausesForgiveNoDebt) {
  BatchScheduler scheduler;
  ModelQueue busy({.max_rows = 1}, "busy", nullptr);
  ModelQueue late({.max_rows = 1}, "late", nullptr);
  std::vector<DroppedCall> dropped;
  absl::Duration now;
  const auto push = [&](ModelQueue& queue) {
    BatchCallPtr call = std::make_unique<FakeCall>(std::make_shared<CallFate>());
    call->arrived = now;
    EXPECT_TRUE(scheduler.Push(queue, call, now, dropped).ok());
  };
  const auto run = [&] {
    const BatchScheduler::Turn turn = scheduler.Next(now);
    now += Ms(1);
    scheduler.Ran(turn.batch, Ms(1), now);
    return turn.batch.queue;
  };
  for (int i = 0; i < 100; ++i) {
    push(busy);
    run();
  }
  for (int i = 0; i < 20; ++i) {
    push(busy);
    push(late);
  }
  int of_late = 0;
  for (int i = 0; i < 20; ++i) of_late += run() == &late ? 1 : 0;
  EXPECT_NEAR(of_late, 10, 1);
}

TEST(BatchSchedulerTest, AModelThatMayNotStartDoesNotHoldOthersUp) {
  BatchScheduler scheduler;
  ModelQueue one({.max_rows = 1, .max_instances = 1}, "acme", nullptr);
  ModelQueue two({.max_rows = 1}, "acme", nullptr);
  std::vector<DroppedCall> dropped;
  for (ModelQueue* queue : {&one, &one, &two}) {
    BatchCallPtr call = std::make_unique<FakeCall>(std::make_shared<CallFate>());
    ASSERT_TRUE(scheduler.Push(*queue, call, Ms(0), dropped).ok());
  }
  const BatchScheduler::Turn first = scheduler.Next(Ms(0));
  EXPECT_EQ(first.batch.queue, &one);
  EXPECT_EQ(scheduler.Next(Ms(0)).batch.queue, &two);
  EXPECT_EQ(scheduler.Next(Ms(0)).batch.queue, nullptr);
  scheduler.Ran(first.batch, Ms(1), Ms(1));
  EXPECT_EQ(scheduler.Next(Ms(1)).batch.queue, &one);
}

// A worker's hour in a moment: models of several tenants, callers of all kinds, runs that fail,
// and after every step the rules.
class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    instances_ = Pick(1, 4);
    for (int i = 0; i < 4; ++i) {
      BatchPolicy policy;
      policy.max_rows = Pick(1, 12);
      if (Chance(0.3)) policy.preferred_rows = {2, 4};
      policy.max_delay = Chance(0.5) ? Ms(Pick(0, 20)) : Ms(0);
      policy.max_instances = Pick(0, 2);
      policy.queues.clear();
      for (int level = Pick(1, 3); level > 0; --level) {
        policy.queues.push_back(
            {.max_calls = static_cast<size_t>(Pick(1, 30)),
             .timeout = Chance(0.5) ? Ms(Pick(5, 200)) : absl::InfiniteDuration(),
             .action = Chance(0.5) ? QueuePolicy::Action::kReject : QueuePolicy::Action::kDelay});
      }
      models_.push_back(std::make_unique<ModelQueue>(policy, fmt::format("tenant{}", i % 3),
                                                     nullptr, Ms(0),
                                                     i == 0 ? Padding() : SomePadding()));
    }
  }

  void Run() {
    for (int step = 0; step < 1500; ++step) {
      const absl::Duration arrival = now_ + Ms(std::exponential_distribution<>(Load())(random_));
      RunUntil(arrival);
      Arrive();
      EndLongWaits();
      StartWhatIsReady();
    }
    RunUntil(absl::InfiniteDuration());
    for (const Call& call : calls_) {
      EXPECT_EQ(call.ends, 1) << "a call was lost or ended twice";
    }
  }

 private:
  struct Call {
    size_t model = 0;
    BatchCall* raw = nullptr;
    std::shared_ptr<CallFate> fate;
    int64_t rows = 1;
    int priority = 0;
    std::vector<int64_t> shape;
    std::vector<int64_t> lengths = {};
    absl::Duration arrived;
    absl::Duration deadline;
    bool bad = false;
    bool waits = false;
    bool again = false;
    int ends = 0;
  };
  struct Running {
    absl::Duration ends;
    absl::Duration took;
    Batch batch;
  };

  int Pick(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  bool Chance(double chance) { return std::bernoulli_distribution(chance)(random_); }
  // Of two dimensions, with buckets in the first or without.
  Padding SomePadding() {
    const Signature signature = {{{"x", DataType::kFp32, {-1, -1, -1}}},
                                 {{"y", DataType::kFp32, {-1, 1}}}};
    std::vector<int64_t> buckets;
    if (Chance(0.5)) buckets = {8, 16, 64};
    return *Padding::Make({{.axes = {{.tensor = "x", .axis = 1}}, .buckets = buckets},
                           {.axes = {{.tensor = "x", .axis = 2}}}},
                          signature, "padding");
  }
  // Calls a millisecond: quiet times and rushes.
  double Load() { return (calls_.size() / 100) % 2 == 0 ? 0.1 : 2; }
  const BatchPolicy& PolicyOf(const Call& call) const { return models_[call.model]->policy(); }
  const QueuePolicy& QueueOf(const Call& call) const {
    return PolicyOf(call).queues[static_cast<size_t>(call.priority)];
  }
  Call& Of(const BatchCallPtr& call) {
    return *std::find_if(calls_.begin(), calls_.end(),
                         [&](const Call& one) { return one.raw == call.get(); });
  }

  void Arrive() {
    calls_.push_back({.model = static_cast<size_t>(Pick(0, 3)),
                      .fate = std::make_shared<CallFate>(),
                      .rows = Chance(0.8) ? 1 : Pick(1, 15),
                      .shape = Chance(0.8) ? std::vector<int64_t>{} : std::vector<int64_t>{7},
                      .arrived = now_,
                      .deadline = Chance(0.5) ? now_ + Ms(Pick(0, 300)) : absl::InfiniteDuration(),
                      .bad = Chance(0.02)});
    Call& call = calls_.back();
    ModelQueue& queue = *models_[call.model];
    call.priority = Pick(0, static_cast<int>(queue.policy().queues.size()) - 1);
    BatchCallPtr given = std::make_unique<FakeCall>(call.fate);
    given->rows = call.rows;
    given->priority = call.priority;
    given->shape = call.shape;
    if (!queue.padding().empty()) call.lengths = {Pick(1, 80), Pick(1, 3)};
    given->lengths = call.lengths;
    given->arrived = call.arrived;
    given->deadline = call.deadline;
    call.raw = given.get();
    // Some of those that wait leave.
    for (Call& other : calls_) {
      if (other.waits && Chance(0.001)) other.fate->abandoned = true;
    }
    std::vector<DroppedCall> dropped;
    const absl::Status status = scheduler_.Push(queue, given, now_, dropped);
    EndAll(dropped);
    if (!status.ok()) {
      End(given);
      return;
    }
    call.waits = true;
    size_t same = 0;
    for (const Call& other : calls_) {
      same += other.waits && !other.again && other.model == call.model &&
              other.priority == call.priority;
    }
    EXPECT_LE(same, QueueOf(call).max_calls) << "a queue's bound";
  }

  void End(const BatchCallPtr& call) {
    Call& ended = Of(call);
    ++ended.ends;
    ended.waits = false;
    ended.raw = nullptr;
  }
  void EndAll(const std::vector<DroppedCall>& dropped) {
    for (const DroppedCall& one : dropped) {
      EXPECT_FALSE(one.why.ok());
      End(one.call);
    }
  }

  // Also while no instance is free.
  void EndLongWaits() {
    std::vector<DroppedCall> dropped;
    expiry_ = scheduler_.Expire(now_, dropped);
    EndAll(dropped);
    for (const Call& call : calls_) {
      if (!call.waits) continue;
      EXPECT_LT(now_, call.deadline) << "waits past its deadline";
      if (QueueOf(call).action == QueuePolicy::Action::kReject && !call.again) {
        EXPECT_LT(now_ - call.arrived, QueueOf(call).timeout) << "waits past its timeout";
      }
    }
  }

  void StartWhatIsReady() {
    while (running_.size() < static_cast<size_t>(instances_)) {
      BatchScheduler::Turn turn = scheduler_.Next(now_);
      EndAll(turn.dropped);
      ask_again_ = turn.ask_again;
      if (turn.batch.queue == nullptr) {
        CheckNobodyWaitsForNothing();
        return;
      }
      CheckBatch(turn.batch);
      const absl::Duration took = Ms(2 + 0.5 * static_cast<double>(turn.batch.rows)) *
                                  std::uniform_real_distribution<>(0.8, 1.5)(random_);
      running_.push_back({now_ + took, took, std::move(turn.batch)});
    }
    ask_again_ = absl::InfiniteDuration();
  }

  void CheckBatch(const Batch& batch) {
    ASSERT_FALSE(batch.calls.empty());
    const Call& first = Of(batch.calls[0]);
    int64_t rows = 0;
    for (const BatchCallPtr& given : batch.calls) {
      Call& call = Of(given);
      EXPECT_TRUE(call.waits) << "started twice";
      call.waits = false;
      rows += call.rows;
      EXPECT_LT(now_, call.deadline) << "a run after the deadline";
      EXPECT_FALSE(call.fate->abandoned) << "a run for nobody";
      EXPECT_EQ(call.shape, first.shape);
      EXPECT_EQ(models_[call.model].get(), batch.queue);
      if (QueueOf(call).action == QueuePolicy::Action::kReject && !call.again) {
        EXPECT_LT(now_ - call.arrived, QueueOf(call).timeout) << "a run after the timeout";
      }
      if (call.again) {
        EXPECT_EQ(batch.calls.size(), 1u) << "a second try with company";
      }
    }
    EXPECT_EQ(rows, batch.rows);
    EXPECT_EQ(batch.lengths.size(), first.lengths.size());
    EXPECT_EQ(batch.work, static_cast<double>(rows) * PositionsOf(batch.lengths));
    for (const BatchCallPtr& given : batch.calls) {
      const Call& call = Of(given);
      for (size_t i = 0; i < batch.lengths.size(); ++i) {
        EXPECT_GE(batch.lengths[i], call.lengths[i]) << "cut off";
      }
      EXPECT_LE(PositionsOf(batch.lengths), Padding::kMostTimes * PositionsOf(call.lengths))
          << "padded to more than it may be";
    }
    if (batch.calls.size() > 1) {
      EXPECT_LE(rows, PolicyOf(first).max_rows);
    }
    int same_model = 1;
    for (const Running& other : running_) same_model += other.batch.queue == batch.queue ? 1 : 0;
    if (PolicyOf(first).max_instances > 0) {
      EXPECT_LE(same_model, PolicyOf(first).max_instances);
    }
    for (const Call& other : calls_) {
      if (!other.waits || other.model != first.model) continue;
      EXPECT_GE(other.priority, first.priority) << "a more urgent call was left waiting";
    }
    // Of each priority, shape and length the oldest come first.
    for (const BatchCallPtr& given : batch.calls) {
      const Call& call = Of(given);
      if (call.again || QueueOf(call).action == QueuePolicy::Action::kDelay) continue;
      for (const Call& other : calls_) {
        if (!other.waits || other.model != call.model || other.priority != call.priority ||
            other.shape != call.shape || other.lengths != call.lengths || other.again) {
          continue;
        }
        EXPECT_GE(other.arrived, call.arrived) << "overtaken";
      }
    }
  }

  // With an instance free.
  void CheckNobodyWaitsForNothing() {
    for (const Call& call : calls_) {
      if (!call.waits || !models_[call.model]->may_start()) continue;
      EXPECT_LT(now_ - call.arrived, PolicyOf(call).max_delay) << "left waiting";
    }
  }

  void RunUntil(absl::Duration time) {
    for (;;) {
      absl::Duration next = std::min({time, ask_again_, expiry_});
      for (const Running& running : running_) next = std::min(next, running.ends);
      if (next == absl::InfiniteDuration()) return;
      now_ = std::max(now_, next);
      if (next == time) return;
      for (size_t i = 0; i < running_.size();) {
        if (running_[i].ends > now_) {
          ++i;
          continue;
        }
        Running done = std::move(running_[i]);
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
        Finish(std::move(done));
      }
      EndLongWaits();
      StartWhatIsReady();
    }
  }

  void Finish(Running done) {
    const bool failed = std::any_of(done.batch.calls.begin(), done.batch.calls.end(),
                                    [&](const BatchCallPtr& call) { return Of(call).bad; });
    scheduler_.Ran(done.batch, done.took, now_);
    if (failed && done.batch.calls.size() > 1) {
      for (const BatchCallPtr& call : done.batch.calls) {
        Of(call).waits = true;
        Of(call).again = true;
      }
      scheduler_.PutBack(done.batch);
      return;
    }
    for (const BatchCallPtr& call : done.batch.calls) End(call);
  }

  std::mt19937_64 random_;
  int instances_ = 1;
  absl::Duration now_;
  absl::Duration ask_again_ = absl::InfiniteDuration();
  absl::Duration expiry_ = absl::InfiniteDuration();
  BatchScheduler scheduler_{{{"tenant0", 2}}};
  std::vector<std::unique_ptr<ModelQueue>> models_;
  std::vector<Call> calls_;
  std::vector<Running> running_;
};

TEST(BatchSchedulerSimulation, EveryCallEndsOnceAndNoRuleIsBroken) {
  for (uint64_t seed = 1; seed <= 60 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Simulation(seed).Run();
  }
}

}  // namespace
}  // namespace slipway::worker
