// Three gateways and a database in simulated time, by many seeds: how well the limit is kept.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/gateway/fake_lease_store.h"
#include "tests/support/gateway/limits_replica.h"

namespace slipway::gateway {
namespace {

constexpr int kSeeds = 6;
constexpr absl::Duration kTick = absl::Milliseconds(1);

class Simulation {
 public:
  Simulation(int64_t limit, int replicas, uint64_t seed) : limit_(limit), random_(seed) {
    LimitsRecord record{.subject = "tenants/acme", .limits = {}};
    record.limits.most[Quantity::kRequests] = limit;
    store_.SetLimits(record);
    for (int i = 0; i < replicas; ++i) {
      const auto latency = absl::Milliseconds(2 + static_cast<int64_t>(random_() % 20));
      replicas_.push_back(
          std::make_unique<LimitsReplica>("replica-" + std::to_string(i), store_, clock_, latency));
      clock_.Advance(absl::Milliseconds(static_cast<int64_t>(random_() % 250)));
    }
    key_.principal = {.tenant = "acme", .key_id = "k1"};
    // Until all have heard of all.
    Run(absl::Seconds(1), std::vector<double>(static_cast<size_t>(replicas)));
  }

  /// Calls come to each replica at these rates a second, at random times.
  void Run(absl::Duration time, const std::vector<double>& rates) {
    for (absl::Duration passed; passed < time; passed += kTick) {
      clock_.Advance(kTick);
      for (size_t i = 0; i < replicas_.size(); ++i) {
        if (replicas_[i] == nullptr) continue;
        const double expected = rates[i] * absl::ToDoubleSeconds(kTick);
        const int calls = expected > 0 ? std::poisson_distribution<int>(expected)(random_) : 0;
        for (int call = 0; call < calls; ++call) Call(*replicas_[i]);
        replicas_[i]->Step();
      }
    }
  }

  /// It is killed, with what it has leased and not reported.
  void Kill(int replica) { replicas_[replica].reset(); }

  int64_t admitted() const { return admitted_; }
  int64_t refused() const { return refused_; }
  /// The most in any 60 seconds.
  int64_t most() const { return most_; }
  /// How few were in the 60 seconds (and what a report may come late by) before a call that was
  /// refused.
  int64_t least_before_refusal() const { return least_; }
  void Forget() {
    admitted_ = refused_ = 0;
    least_ = INT64_MAX;
  }

 private:
  static constexpr absl::Duration kLate = absl::Milliseconds(1000);

  void Call(LimitsReplica& replica) {
    const absl::Duration now = clock_.Monotonic();
    while (!times_.empty() && times_.front() <= now - kWindow - kLate) times_.pop_front();
    auto permit = replica.admission().Admit(key_, nullptr);
    if (!permit.ok()) {
      ++refused_;
      least_ = std::min(least_, static_cast<int64_t>(times_.size()));
      return;
    }
    permit->KeepRequest();
    ++admitted_;
    times_.push_back(now);
    const auto in_window = std::upper_bound(times_.begin(), times_.end(), now - kWindow);
    most_ = std::max(most_, static_cast<int64_t>(times_.end() - in_window));
  }

  const int64_t limit_;
  std::mt19937_64 random_;
  FakeClock clock_;
  FakeLeaseStore store_{clock_};
  std::vector<std::unique_ptr<LimitsReplica>> replicas_;
  KnownKey key_;
  std::deque<absl::Duration> times_;  // of what was admitted
  int64_t admitted_ = 0;
  int64_t refused_ = 0;
  int64_t most_ = 0;
  int64_t least_ = INT64_MAX;
};

// Shares of a rate at three replicas.
const std::vector<std::vector<double>> kSpreads = {
    {1.0 / 3, 1.0 / 3, 1.0 / 3}, {0.6, 0.3, 0.1}, {0.98, 0.01, 0.01}, {1, 0, 0}};

std::vector<double> Rates(int64_t limit, double load, const std::vector<double>& spread) {
  std::vector<double> rates;
  for (const double share : spread) {
    rates.push_back(load * static_cast<double>(limit) / 60 * share);
  }
  return rates;
}

TEST(LimitsSimulationTest, AboveTheLimitItIsNeitherPassedNorMissed) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const int64_t limit = seed % 2 == 0 ? 1000 : 6000;
    for (const double load : {1.5, 4.0}) {
      for (const auto& spread : kSpreads) {
        SCOPED_TRACE(testing::Message() << "limit " << limit << ", load " << load << ", seed "
                                        << seed << ", first share " << spread[0]);
        Simulation simulation(limit, 3, static_cast<uint64_t>(seed));
        simulation.Run(absl::Seconds(130), Rates(limit, load, spread));
        EXPECT_LE(simulation.most(), limit * 102 / 100);
        EXPECT_GE(simulation.most(), limit * 95 / 100);
        EXPECT_GE(simulation.least_before_refusal(), limit * 95 / 100);
      }
    }
  }
}

TEST(LimitsSimulationTest, BelowTheLimitNothingIsRefused) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const int64_t limit = seed % 2 == 0 ? 1000 : 6000;
    for (const auto& spread : kSpreads) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", seed " << seed);
      Simulation simulation(limit, 3, static_cast<uint64_t>(seed));
      simulation.Run(absl::Seconds(130), Rates(limit, 0.85, spread));
      EXPECT_EQ(simulation.refused(), 0);
    }
  }
}

// Far more than can be leased in time, from a cold start and after a pause.
TEST(LimitsSimulationTest, AFloodIsKeptWithinTheLimit) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    for (const auto& spread : kSpreads) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", first share " << spread[0]);
      Simulation simulation(1000, 3, static_cast<uint64_t>(seed));
      const std::vector<double> flood = Rates(1000, 300, spread);
      simulation.Run(absl::Seconds(5), flood);
      EXPECT_GE(simulation.admitted(), 950);
      simulation.Run(absl::Seconds(70), {0, 0, 0});
      simulation.Run(absl::Seconds(5), {flood[2], flood[0], flood[1]});
      EXPECT_LE(simulation.most(), 1020);
      EXPECT_GE(simulation.admitted(), 1900);
    }
  }
}

TEST(LimitsSimulationTest, MovesToTheReplicaThatIsCalled) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Simulation simulation(1000, 3, static_cast<uint64_t>(seed));
    for (int turn = 0; turn < 20; ++turn) {
      std::vector<double> rates = {0, 0, 0};
      rates[turn % 3] = 15;
      simulation.Run(absl::Seconds(7), rates);
    }
    EXPECT_EQ(simulation.refused(), 0);
    EXPECT_LE(simulation.most(), 1020);
  }
}

TEST(LimitsSimulationTest, SmallLimitsArePassedByOneCallAReplicaAtMost) {
  for (int seed = 0; seed < 8 * kSeeds; ++seed) {
    for (const int64_t limit : {1, 2, 10, 60}) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", seed " << seed);
      Simulation simulation(limit, 3, static_cast<uint64_t>(seed));
      simulation.Run(absl::Seconds(130), Rates(limit, 3, kSpreads[seed % 4]));
      EXPECT_LE(simulation.most(), limit + 2);
      if (simulation.refused() > 0) {
        EXPECT_GE(simulation.most(), limit - limit / 10);
      }
    }
  }
}

TEST(LimitsSimulationTest, AKilledReplicaLeavesNothingBehind) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Simulation simulation(1000, 3, static_cast<uint64_t>(seed));
    simulation.Run(absl::Seconds(40), Rates(1000, 4, kSpreads[0]));
    simulation.Kill(1);
    EXPECT_LE(simulation.most(), 1020);
    simulation.Run(absl::Seconds(75), Rates(1000, 4, kSpreads[0]));
    simulation.Forget();
    simulation.Run(absl::Seconds(60), Rates(1000, 4, kSpreads[0]));
    EXPECT_GE(simulation.admitted(), 950);
    EXPECT_GE(simulation.least_before_refusal(), 950);
  }
}

}  // namespace
}  // namespace slipway::gateway
