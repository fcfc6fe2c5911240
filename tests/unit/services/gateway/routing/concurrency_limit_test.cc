// What an endpoint answers behind a ConcurrencyLimit: calls at random times, workers with queues,
// by a clock of its own.

#include "services/gateway/routing/concurrency_limit.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <queue>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

using End = ConcurrencyLimit::End;

// A worker that runs what waits in batches, one after the other.
struct Model {
  absl::Duration run;  ///< a batch's fixed part
  absl::Duration row;
  size_t most_rows = 1;
  double noise = 0.3;
  absl::Duration way = absl::Microseconds(100);  ///< there and back
};

struct Result {
  int64_t offered = 0;
  int64_t in_time = 0;
  int64_t late = 0;
  int64_t refused = 0;
  absl::Duration slowest;
};

class Simulation {
 public:
  Simulation(const Model& model, int workers, uint64_t seed)
      : model_(model), workers_(static_cast<size_t>(workers)), random_(seed) {
    limit_.SetWorkers(workers);
  }

  // Calls at `rate` a second for `time`, each with this deadline.
  Result Run(double rate, absl::Duration time, absl::Duration deadline) {
    result_ = {};
    const absl::Duration end = now_ + time;
    absl::Duration next = now_;
    std::exponential_distribution<> pause(rate);
    while (next < end || !events_.empty()) {
      if (next < end && (events_.empty() || next <= events_.top().time)) {
        now_ = next;
        next += absl::Seconds(pause(random_));
        Arrive(deadline);
      } else {
        const Event event = events_.top();
        events_.pop();
        now_ = event.time;
        event.worker < 0 ? Answer(event.call) : Finish(static_cast<size_t>(event.worker));
      }
    }
    return result_;
  }

  // As many as one can serve: so many callers, each of which calls again at once.
  double Capacity() const {
    const auto rows = static_cast<double>(model_.most_rows);
    return static_cast<double>(workers_.size()) * rows /
           absl::ToDoubleSeconds(model_.run + model_.row * rows);
  }

  ConcurrencyLimit& limit() { return limit_; }
  void SetModel(const Model& model) { model_ = model; }

 private:
  struct Call {
    ConcurrencyLimit::Entry entry;
    absl::Duration deadline;
  };
  struct Worker {
    std::deque<Call> waiting;
    std::vector<Call> running;
  };
  struct Event {
    absl::Duration time;
    int worker;  // -1: the call's answer is back
    Call call;
    bool operator>(const Event& other) const { return time > other.time; }
  };

  void Arrive(absl::Duration deadline) {
    ++result_.offered;
    if (limit_.Expected(now_) > deadline) {
      ++result_.refused;
      return;
    }
    const auto entry = limit_.Enter(now_);
    if (!entry) {
      ++result_.refused;
      return;
    }
    Worker& worker = *std::ranges::min_element(
        workers_, {}, [](const Worker& one) { return one.waiting.size() + one.running.size(); });
    worker.waiting.push_back({*entry, now_ + deadline});
    if (worker.running.empty()) Begin(worker);
  }

  void Begin(Worker& worker) {
    while (!worker.waiting.empty() && worker.running.size() < model_.most_rows) {
      worker.running.push_back(worker.waiting.front());
      worker.waiting.pop_front();
    }
    if (worker.running.empty()) return;
    const auto rows = static_cast<double>(worker.running.size());
    std::uniform_real_distribution<> factor(1 - model_.noise, 1 + model_.noise);
    events_.push({now_ + (model_.run + model_.row * rows) * factor(random_),
                  static_cast<int>(&worker - workers_.data()),
                  {}});
  }

  void Finish(size_t place) {
    Worker& worker = workers_[place];
    for (const Call& call : worker.running) events_.push({now_ + model_.way, -1, call});
    worker.running.clear();
    Begin(worker);
  }

  void Answer(const Call& call) {
    limit_.Leave(call.entry, End::kAnswered, now_);
    ++(now_ <= call.deadline ? result_.in_time : result_.late);
    result_.slowest = std::max(result_.slowest, now_ - call.entry.time);
  }

  Model model_;
  std::vector<Worker> workers_;
  std::mt19937_64 random_;
  ConcurrencyLimit limit_;
  absl::Duration now_ = absl::Seconds(1000);
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  Result result_;
};

const Model kSingle = {.run = absl::Milliseconds(2), .row = absl::ZeroDuration()};
const Model kSlow = {.run = absl::Milliseconds(200), .row = absl::ZeroDuration()};
// As a small network on OpenVINO (docs/performance.md).
const Model kBatching = {
    .run = absl::Microseconds(270), .row = absl::Microseconds(58), .most_rows = 32};

class ConcurrencyLimitTest : public testing::TestWithParam<uint64_t> {};

TEST_P(ConcurrencyLimitTest, UnderTenfoldOverloadNineTenthsOfWhatWorkersCanDoIsAnsweredInTime) {
  for (const Model& model : {kSingle, kSlow, kBatching}) {
    for (const int workers : {1, 4}) {
      Simulation simulation(model, workers, GetParam());
      const absl::Duration deadline = 40 * (model.run + model.row);
      const absl::Duration time = std::max(absl::Seconds(5), 10'000 * model.run);
      simulation.Run(0.5 * simulation.Capacity(), time / 4, deadline);
      const Result result = simulation.Run(10 * simulation.Capacity(), time, deadline);
      const double goodput = static_cast<double>(result.in_time) / absl::ToDoubleSeconds(time);
      EXPECT_GE(goodput, 0.9 * simulation.Capacity()) << model.run << " on " << workers;
      EXPECT_EQ(result.late + result.in_time + result.refused, result.offered);
      // What was let in was worth it.
      EXPECT_LE(result.late, result.in_time / 10) << model.run << " on " << workers;
    }
  }
}

TEST_P(ConcurrencyLimitTest, BelowWhatWorkersCanDoNextToNothingIsRefused) {
  for (const Model& model : {kSingle, kSlow, kBatching}) {
    Simulation simulation(model, 2, GetParam());
    const Result result =
        simulation.Run(0.7 * simulation.Capacity(), std::max(absl::Seconds(20), 400 * model.run),
                       absl::InfiniteDuration());
    EXPECT_LE(result.refused, result.offered / 1000) << model.run;
  }
}

TEST_P(ConcurrencyLimitTest, AfterOverloadCallsAreTakenAgainWithinASecond) {
  Simulation simulation(kSingle, 2, GetParam());
  simulation.Run(10 * simulation.Capacity(), absl::Seconds(60), absl::Milliseconds(100));
  simulation.Run(0.7 * simulation.Capacity(), absl::Seconds(1), absl::Milliseconds(100));
  const Result after =
      simulation.Run(0.7 * simulation.Capacity(), absl::Seconds(10), absl::Milliseconds(100));
  EXPECT_LE(after.refused, after.offered / 1000);
}

TEST_P(ConcurrencyLimitTest, ALongOverloadDoesNotTeachItThatCallsTakeLong) {
  Simulation simulation(kSingle, 1, GetParam());
  const Result begin =
      simulation.Run(3 * simulation.Capacity(), absl::Seconds(20), absl::InfiniteDuration());
  simulation.Run(3 * simulation.Capacity(), absl::Minutes(10), absl::InfiniteDuration());
  const Result end =
      simulation.Run(3 * simulation.Capacity(), absl::Seconds(20), absl::InfiniteDuration());
  EXPECT_LE(end.slowest, begin.slowest + absl::Milliseconds(20));
  EXPECT_LE(simulation.limit().limit(), 40);
}

TEST_P(ConcurrencyLimitTest, AModelThatBecomesSlowerIsLearnedAnew) {
  Simulation simulation(kSingle, 2, GetParam());
  simulation.Run(0.5 * simulation.Capacity(), absl::Seconds(10), absl::InfiniteDuration());
  // 50 times.
  Model slower = kSingle;
  slower.run = absl::Milliseconds(100);
  simulation.SetModel(slower);
  simulation.Run(0.5 * simulation.Capacity(), absl::Seconds(60), absl::InfiniteDuration());
  const Result after =
      simulation.Run(0.7 * simulation.Capacity(), absl::Seconds(60), absl::InfiniteDuration());
  EXPECT_LE(after.refused, after.offered / 100);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ConcurrencyLimitTest, testing::Range<uint64_t>(1, 7));

TEST(ConcurrencyLimitRulesTest, WhatIsDoneInTheBackgroundHasHalfOfTheRoom) {
  ConcurrencyLimit limit({.first = 8});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limit.Enter(absl::Seconds(1), /*background=*/true));
  EXPECT_FALSE(limit.Enter(absl::Seconds(1), /*background=*/true));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limit.Enter(absl::Seconds(1)));
  EXPECT_FALSE(limit.Enter(absl::Seconds(1)));
}

TEST(ConcurrencyLimitRulesTest, WorkersThatComeAndGoBringAndTakeTheirShare) {
  ConcurrencyLimit limit;
  const double one = limit.limit();
  limit.SetWorkers(3);
  EXPECT_DOUBLE_EQ(limit.limit(), 3 * one);
  limit.SetWorkers(0);
  EXPECT_DOUBLE_EQ(limit.limit(), one);
}

TEST(ConcurrencyLimitRulesTest, ACallThatTheQuickestOneOfLateWouldBeTooSlowForIsExpectedToBeLate) {
  ConcurrencyLimit limit;
  absl::Duration now = absl::Seconds(10);
  EXPECT_EQ(limit.Expected(now), absl::ZeroDuration());
  const auto held = *limit.Enter(now);
  for (int i = 0; i < 20; ++i) {
    const auto entry = *limit.Enter(now);
    now += absl::Milliseconds(20);
    limit.Leave(entry, End::kAnswered, now);
  }
  EXPECT_EQ(limit.Expected(now), absl::Milliseconds(20));
  // What was seen long ago says nothing, and where nothing is under way nothing waits.
  EXPECT_EQ(limit.Expected(now + absl::Seconds(5)), absl::ZeroDuration());
  limit.Leave(held, End::kOther, now);
  EXPECT_EQ(limit.Expected(now), absl::ZeroDuration());
}

}  // namespace
}  // namespace slipway::gateway
