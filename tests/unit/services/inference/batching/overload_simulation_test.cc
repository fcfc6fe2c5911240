// What a worker answers in time while it is sent twice what it can do: an open loop of calls with a
// deadline, on one core that reads, runs and answers, by a clock of its own.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "services/inference/batching/batch_scheduler.h"
#include "tests/unit/services/inference/batching/fake_call.h"

namespace slipway::worker {
namespace {

constexpr absl::Duration kDeadline = absl::Milliseconds(100);
constexpr int64_t kRows = 8;
constexpr int kClosedCallers = 16;
constexpr absl::Duration kTime = absl::Seconds(20);

// Times of the core.
struct Costs {
  // To receive a call, served or refused.
  absl::Duration read;
  absl::Duration run;
  absl::Duration row = absl::Microseconds(67);
  // Runs take up to so much less or more; one in fifty takes three times as long.
  double noise = 0.3;
};

struct Result {
  int64_t sent = 0;
  int64_t in_time = 0;
  int64_t late = 0;
  double rate() const { return static_cast<double>(in_time) / absl::ToDoubleSeconds(kTime); }
};

class Core {
 public:
  Core(const Costs& costs, uint64_t seed) : costs_(costs), random_(seed) {}

  // As many calls as there are callers are under way, always.
  Result Closed() {
    for (int i = 0; i < kClosedCallers; ++i) arriving_.push_back(now_);
    return Run([this] { arriving_.push_back(now_); });
  }

  // `rate` calls a second, whatever becomes of them.
  Result Open(double rate) {
    std::exponential_distribution<double> pause(rate);
    for (absl::Duration at; at < kTime; at += absl::Seconds(pause(random_))) {
      arriving_.push_back(at);
    }
    return Run([] {});
  }

 private:
  template <class OnEnd>
  Result Run(const OnEnd& on_end) {
    while (now_ < kTime) {
      // What came while a batch ran is read after it, all at once.
      while (!arriving_.empty() && arriving_.front() <= now_) Read();
      BatchScheduler::Turn turn = scheduler_.Next(now_);
      result_.late += static_cast<int64_t>(turn.dropped.size());
      if (turn.batch.queue != nullptr) {
        Serve(turn.batch);
        for (size_t i = 0; i < turn.batch.calls.size(); ++i) on_end();
        continue;
      }
      now_ = std::min(turn.ask_again, arriving_.empty() ? kTime : arriving_.front());
    }
    return result_;
  }

  void Read() {
    BatchCallPtr call = std::make_unique<FakeCall>(std::make_shared<CallFate>());
    call->deadline = arriving_.front() + kDeadline;
    call->rows = kRows;
    arriving_.pop_front();
    ++result_.sent;
    now_ += costs_.read;
    call->arrived = now_;
    std::vector<DroppedCall> dropped;
    scheduler_.Push(queue_, call, now_, dropped).IgnoreError();
  }

  void Serve(const Batch& batch) {
    const double slow = std::bernoulli_distribution(0.02)(random_) ? 3 : 1;
    const absl::Duration took =
        (costs_.run + costs_.row * batch.rows) * slow *
        std::uniform_real_distribution<>(1 - costs_.noise, 1 + costs_.noise)(random_);
    now_ += took;
    scheduler_.Ran(batch, took, now_);
    for (const BatchCallPtr& call : batch.calls) {
      ++(now_ <= call->deadline ? result_.in_time : result_.late);
    }
  }

  const Costs costs_;
  std::mt19937_64 random_;
  absl::Duration now_;
  std::deque<absl::Duration> arriving_;
  BatchScheduler scheduler_;
  ModelQueue queue_{{.max_rows = 64}, "acme", nullptr};
  Result result_;
};

class OverloadSimulation : public testing::TestWithParam<uint64_t> {};

TEST_P(OverloadSimulation, AnswersInTimeAllThatTheCoreCanWhereARefusalCostsNothing) {
  const Costs costs = {.read = absl::ZeroDuration(), .run = absl::Microseconds(200)};
  const double capacity = Core(costs, GetParam()).Closed().rate();
  const Result open = Core(costs, GetParam()).Open(2 * capacity);
  EXPECT_GE(open.rate(), 0.98 * capacity);
  EXPECT_LE(static_cast<double>(open.late), 0.002 * static_cast<double>(open.sent));
}

// What is lost is what it takes to receive the calls that are then refused, and nothing else.
TEST_P(OverloadSimulation, LosesOnlyWhatTheReadingOfRefusedCallsTakes) {
  const Costs costs = {.read = absl::Microseconds(60), .run = absl::Microseconds(200)};
  const double capacity = Core(costs, GetParam()).Closed().rate();
  const Result open = Core(costs, GetParam()).Open(2 * capacity);
  const double reading = 2 * capacity * absl::ToDoubleSeconds(costs.read);
  const double serving = 1 / capacity - absl::ToDoubleSeconds(costs.read);
  EXPECT_GE(open.rate(), 0.98 * (1 - reading) / serving) << fmt::format("of {}", capacity);
  EXPECT_LE(static_cast<double>(open.late), 0.002 * static_cast<double>(open.sent));
}

INSTANTIATE_TEST_SUITE_P(Seeds, OverloadSimulation, testing::Range<uint64_t>(1, 6));

}  // namespace
}  // namespace slipway::worker
