// What a key and its tenant may use, at one gateway and at several.
#include "services/gateway/limits/admission.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/http/status_headers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/gateway/limits/refusal.h"
#include "tests/support/fake_clock.h"
#include "tests/support/gateway/fake_lease_store.h"
#include "tests/support/gateway/limits_replica.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;

constexpr char kDeployment[] = "tenants/acme/deployments/digits";
constexpr char kVersion[] = "tenants/acme/models/m/versions/1";

Limits Most(Quantity quantity, int64_t most) {
  Limits limits;
  limits.most[quantity] = most;
  return limits;
}

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() {
    key_.principal = {.tenant = "acme", .key_id = "k1", .role = Role::kOwner};
    other_key_.principal = {.tenant = "acme", .key_id = "k2", .role = Role::kOwner};
  }

  void Limit(const std::string& subject, const Limits& limits) {
    store_.SetLimits({.subject = subject, .limits = limits});
  }

  void StartReplicas(int count, absl::Duration latency = absl::ZeroDuration()) {
    for (int i = 0; i < count; ++i) {
      replicas_.push_back(std::make_unique<LimitsReplica>("replica-" + std::to_string(started_++),
                                                          store_, clock_, latency));
    }
    for (auto& replica : replicas_) replica->Look();
  }

  void Pass(absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Milliseconds(10)) {
      clock_.Advance(absl::Milliseconds(10));
      for (auto& replica : replicas_) replica->Step();
    }
  }

  absl::StatusOr<Permit> Predict(int64_t tokens = 1, int replica = 0) {
    return replicas_[replica]->admission().Admit(
        key_, nullptr, {.deployment = kDeployment, .model_version = kVersion, .tokens = tokens});
  }
  /// A request that is over, and counts.
  bool Call(const KnownKey& key, int replica = 0) {
    auto permit = replicas_[replica]->admission().Admit(key, nullptr);
    if (permit.ok()) permit->KeepRequest();
    return permit.ok();
  }
  static std::string Header(const absl::Status& status, std::string_view name) {
    return std::string(http::HeadersOf(status).Get(name));
  }

  FakeClock clock_;
  FakeLeaseStore store_{clock_};
  std::vector<std::unique_ptr<LimitsReplica>> replicas_;
  int started_ = 0;
  KnownKey key_;
  KnownKey other_key_;
};

TEST_F(AdmissionTest, WithoutLimitsEverythingPassesAndSaysNothing) {
  StartReplicas(1);
  auto permit = Predict(1'000'000);
  ASSERT_TRUE(permit.ok());
  EXPECT_EQ(permit->Charge({.input_tokens = 5}), 0);
  http::Headers headers;
  permit->AddHeaders(headers);
  EXPECT_TRUE(headers.empty());
}

TEST_F(AdmissionTest, RequestsOverTheLimitAreRefusedUntilTheMinuteIsOver) {
  Limit("tenants/acme", Most(Quantity::kRequests, 3));
  StartReplicas(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Call(key_)) << i;
    Pass(absl::Seconds(1));
  }
  const absl::Status refused = Predict().status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_TRUE(IsOverLimit(refused));
  EXPECT_FALSE(IsOverBudget(refused));
  EXPECT_EQ(refused.message(), "tenants/acme may make 3 requests a minute");
  EXPECT_EQ(Header(refused, "x-ratelimit-limit-requests"), "3");
  EXPECT_EQ(Header(refused, "x-ratelimit-remaining-requests"), "0");
  // The first of them counts for 57 s more.
  const int wait = std::stoi(Header(refused, "retry-after"));
  EXPECT_GE(wait, 57);
  EXPECT_LE(wait, 59);
  EXPECT_EQ(Header(refused, "x-should-retry"), "");
  Pass(absl::Seconds(wait) + absl::Milliseconds(500));
  EXPECT_TRUE(Call(key_));
  EXPECT_FALSE(Call(key_));
}

TEST_F(AdmissionTest, SaysHowMuchIsLeft) {
  Limits limits = Most(Quantity::kRequests, 100);
  limits.most[Quantity::kTokens] = 5000;
  Limit("tenants/acme", limits);
  Limit("tenants/acme/keys/k1", Most(Quantity::kRequests, 10));
  StartReplicas(1);
  auto permit = Predict(64);
  ASSERT_TRUE(permit.ok());
  http::Headers headers;
  permit->AddHeaders(headers);
  // Of tenant and key the tighter one.
  EXPECT_EQ(headers.Get("x-ratelimit-limit-requests"), "10");
  EXPECT_EQ(headers.Get("x-ratelimit-remaining-requests"), "9");
  EXPECT_EQ(headers.Get("x-ratelimit-reset-requests"), "1m");
  EXPECT_EQ(headers.Get("x-ratelimit-limit-tokens"), "5000");
  EXPECT_EQ(headers.Get("x-ratelimit-remaining-tokens"), "4936");
}

TEST_F(AdmissionTest, AKeysLimitIsItsOwnAndItsTenantsIsForAll) {
  Limit("tenants/acme", Most(Quantity::kRequests, 5));
  Limit("tenants/acme/keys/k1", Most(Quantity::kRequests, 2));
  StartReplicas(1);
  EXPECT_TRUE(Call(key_));
  EXPECT_TRUE(Call(key_));
  EXPECT_FALSE(Call(key_));
  // What the key was refused, its tenant has not used.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Call(other_key_)) << i;
  EXPECT_FALSE(Call(other_key_));
}

TEST_F(AdmissionTest, WhatTheTenantRefusesTheKeyGetsBack) {
  Limit("tenants/acme", Most(Quantity::kRequests, 1));
  Limit("tenants/acme/keys/k1", Most(Quantity::kRequests, 2));
  StartReplicas(1);
  EXPECT_TRUE(Call(key_));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Call(key_));
  Limit("tenants/acme", Limits());
  Pass(absl::Seconds(1));
  EXPECT_TRUE(Call(key_));
  EXPECT_FALSE(Call(key_));
}

TEST_F(AdmissionTest, ADroppedPermitGivesBackWhatItTook) {
  Limits limits = Most(Quantity::kRequests, 1);
  limits.most[Quantity::kTokens] = 10;
  limits.most[Quantity::kConcurrency] = 1;
  Limit("tenants/acme", limits);
  StartReplicas(1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Predict(10).ok()) << i;
    Pass(absl::Milliseconds(100));
  }
}

TEST_F(AdmissionTest, TokensAreReservedAndThenSettledByWhatWasDone) {
  Limit("tenants/acme", Most(Quantity::kTokens, 100));
  StartReplicas(1);
  auto first = Predict(60);
  ASSERT_TRUE(first.ok());
  // The first may still use its 60.
  EXPECT_FALSE(Predict(60).ok());
  first->Charge({.input_tokens = 10, .output_tokens = 5});
  auto second = Predict(85);
  EXPECT_TRUE(second.ok());
  EXPECT_FALSE(Predict(1).ok());
  // More than was reserved.
  second->Charge({.input_tokens = 100});
  Pass(absl::Seconds(1));
  EXPECT_FALSE(Predict(1).ok());
}

TEST_F(AdmissionTest, ACallThatIsLargerThanItsLimitNeedNotComeBack) {
  Limit("tenants/acme", Most(Quantity::kTokens, 100));
  StartReplicas(1);
  const absl::Status refused = Predict(101).status();
  EXPECT_TRUE(IsOverLimit(refused));
  EXPECT_EQ(Header(refused, "x-should-retry"), "false");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("this call asks for 101"));
}

TEST_F(AdmissionTest, PlacesAreFreeAgainWhenTheirCallsEnd) {
  Limit("tenants/acme", Most(Quantity::kConcurrency, 2));
  StartReplicas(1);
  auto first = Predict();
  auto second = Predict();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_FALSE(Predict().ok());
  // Calls of the API are none that keep a worker busy.
  EXPECT_TRUE(Call(key_));
  // Charged, and its answer on the way: still under way.
  first->Charge({});
  EXPECT_FALSE(Predict().ok());
  first->Release();
  EXPECT_TRUE(Predict().ok());
  { const Permit moved = *std::move(second); }
  EXPECT_TRUE(Predict().ok());
}

TEST_F(AdmissionTest, ABudgetIsReservedByWhatTheLastCallCost) {
  Limit("tenants/acme", Most(Quantity::kBudget, 1'000'000));
  store_.SetPrices({{.id = "p", .match = "*", .request = 100'000, .compute_second = 1'000'000}});
  StartReplicas(1);
  auto first = Predict();
  ASSERT_TRUE(first.ok());
  // 0.1 for the call and 0.4 for 0.4 s.
  EXPECT_EQ(first->Charge({.compute_micros = 400'000}), 500'000);
  // The next may take as long: with it, and not yet done, the budget is used up.
  auto second = Predict();
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(Predict().ok());
  second->Charge({.compute_micros = 0});
  auto third = Predict();
  ASSERT_TRUE(third.ok());
  third->Charge({.compute_micros = 300'000});
  Pass(absl::Seconds(1));
  const absl::Status refused = Predict().status();
  EXPECT_TRUE(IsOverBudget(refused));
  EXPECT_EQ(refused.message(), "tenants/acme has used its budget of 1 units");
  EXPECT_EQ(Header(refused, "x-should-retry"), "false");
  // Calls without a price go on.
  EXPECT_TRUE(Call(key_));
}

TEST_F(AdmissionTest, ABudgetIsSettledByWhatACallCostAndNotByWhatWasReserved) {
  Limit("tenants/acme", Most(Quantity::kBudget, 1'000'000));
  store_.SetPrices({{.id = "p", .match = "*", .request = 100'000, .compute_second = 1'000'000}});
  StartReplicas(1);
  auto first = Predict();
  ASSERT_TRUE(first.ok());
  // 0.1 was reserved. What is left, 0.1, is too little for another one like it.
  EXPECT_EQ(first->Charge({.compute_micros = 800'000}), 900'000);
  EXPECT_FALSE(Predict().ok());
}

TEST_F(AdmissionTest, ABudgetGoesOnFromTheLedgerWhereItsRowsAreLost) {
  Limit("tenants/acme", Most(Quantity::kBudget, 1'000));
  store_.SetPrices({{.id = "p", .match = "*", .request = 100}});
  StartReplicas(1);
  for (int i = 0; i < 6; ++i) Predict()->Charge({});
  Pass(absl::Seconds(1));
  store_.LoseMeters();
  store_.SetLedger("tenants/acme", 600);
  int admitted = 0;
  for (int i = 0; i < 10; ++i) {
    if (auto permit = Predict(); permit.ok()) {
      permit->Charge({});
      ++admitted;
    }
    Pass(absl::Milliseconds(300));
  }
  // The ledger lags by what was used last.
  EXPECT_GE(admitted, 4);
  EXPECT_LE(admitted, 5);
}

TEST_F(AdmissionTest, ChangedLimitsHoldAtOnce) {
  Limit("tenants/acme", Most(Quantity::kRequests, 2));
  StartReplicas(1);
  EXPECT_TRUE(Call(key_));
  EXPECT_TRUE(Call(key_));
  EXPECT_FALSE(Call(key_));
  Limit("tenants/acme", Most(Quantity::kRequests, 4));
  Pass(absl::Milliseconds(500));
  EXPECT_TRUE(Call(key_));
  EXPECT_TRUE(Call(key_));
  EXPECT_FALSE(Call(key_));
  Limit("tenants/acme", Limits());
  Pass(absl::Milliseconds(500));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Call(key_));
}

TEST_F(AdmissionTest, TheFirstCallOfAColdReplicaIsNotRefused) {
  for (const int64_t limit : {1, 2, 10, 1000}) {
    SCOPED_TRACE(limit);
    const std::string key = "tenants/acme/keys/k" + std::to_string(limit);
    Limit(key, Most(Quantity::kRequests, limit));
  }
  StartReplicas(3, absl::Milliseconds(10));
  for (const int64_t limit : {1, 2, 10, 1000}) {
    KnownKey key;
    key.principal = {.tenant = "acme", .key_id = "k" + std::to_string(limit)};
    EXPECT_TRUE(Call(key, static_cast<int>(limit % 3))) << limit;
  }
}

// One that has not heard of the others takes all there is.
TEST_F(AdmissionTest, AReplicaThatHasJustComeWaitsUntilTheOthersHaveHeardOfIt) {
  Limit("tenants/acme", Most(Quantity::kRequests, 1000));
  StartReplicas(1);
  Pass(absl::Seconds(1));
  for (int i = 1; i < 3; ++i) {
    replicas_.push_back(std::make_unique<LimitsReplica>("late-" + std::to_string(i), store_, clock_,
                                                        absl::Milliseconds(10)));
  }
  int admitted = 0;
  for (int i = 0; i < 3000; ++i) admitted += Call(key_, i % 3);
  EXPECT_GE(admitted, 1000);
  EXPECT_LE(admitted, 1002);
  Pass(absl::Seconds(5));
  EXPECT_FALSE(Call(key_, 2));
}

// Limits so small that no part of them can be leased to each.
TEST_F(AdmissionTest, SmallLimitsHoldAcrossReplicas) {
  for (const int64_t limit : {1, 2, 5, 10}) {
    Limit("tenants/acme", Most(Quantity::kRequests, limit));
    // The ones before are forgotten.
    replicas_.clear();
    Pass(kReplicaTime);
    StartReplicas(3, absl::Milliseconds(10));
    int admitted = 0;
    // Within a minute, one call after the other, each to another replica.
    for (int i = 0; i < 55; ++i) {
      admitted += Call(key_, i % 3);
      Pass(absl::Seconds(1));
    }
    EXPECT_EQ(admitted, limit);
    Pass(absl::Seconds(75));
    // All at once, and none has heard of the others' yet.
    admitted = 0;
    for (int i = 0; i < 30; ++i) admitted += Call(key_, i % 3);
    EXPECT_GE(admitted, 1);
    EXPECT_LE(admitted, limit + 2);
    Pass(absl::Seconds(75));
  }
}

TEST_F(AdmissionTest, WhileTheDatabaseIsAwayEachReplicaHasItsEvenShare) {
  Limit("tenants/acme", Most(Quantity::kRequests, 600));
  StartReplicas(3);
  Pass(absl::Seconds(1));
  store_.SetAway(true);
  Pass(absl::Seconds(1));
  int admitted = 0;
  // 10 calls a second at each of three replicas, for a minute.
  for (int i = 0; i < 600; ++i) {
    for (int replica = 0; replica < 3; ++replica) admitted += Call(key_, replica);
    Pass(absl::Milliseconds(100));
  }
  EXPECT_GE(admitted, 590);
  EXPECT_LE(admitted, 660);
  // For so long, and no longer.
  Pass(absl::Minutes(5));
  const absl::Status gone = Predict().status();
  EXPECT_TRUE(absl::IsUnavailable(gone)) << gone;
  store_.SetAway(false);
  Pass(absl::Seconds(62));
  EXPECT_TRUE(Predict().ok());
}

TEST_F(AdmissionTest, WhatWasUsedWhileTheDatabaseWasAwayIsReportedAfterwards) {
  Limit("tenants/acme", Most(Quantity::kRequests, 30));
  StartReplicas(3);
  Pass(absl::Seconds(1));
  store_.SetAway(true);
  Pass(absl::Seconds(1));
  int admitted = 0;
  for (int i = 0; i < 200; ++i) {
    admitted += Call(key_, 0);
    Pass(absl::Milliseconds(100));
  }
  EXPECT_GE(admitted, 4);
  store_.SetAway(false);
  Pass(absl::Seconds(2));
  for (int i = 0; i < 100; ++i) {
    admitted += Call(key_, 1);
    Pass(absl::Milliseconds(100));
  }
  EXPECT_EQ(admitted, 30);
}

TEST_F(AdmissionTest, AnAnswerThatIsLostIsAskedForAgainAndCountsOnce) {
  Limit("tenants/acme", Most(Quantity::kBudget, 1'000));
  store_.SetPrices({{.id = "p", .match = "*", .request = 100}});
  StartReplicas(1);
  for (int i = 0; i < 5; ++i) Predict()->Charge({});
  store_.LoseNextAnswer();
  Pass(absl::Seconds(1));
  int admitted = 0;
  for (int i = 0; i < 10; ++i) {
    if (auto permit = Predict(); permit.ok()) {
      permit->Charge({});
      ++admitted;
    }
    Pass(absl::Milliseconds(300));
  }
  EXPECT_EQ(admitted, 5);
}

TEST_F(AdmissionTest, WhatNobodyUsesCostsNoExchange) {
  Limit("tenants/acme", Most(Quantity::kRequests, 1000));
  StartReplicas(3);
  EXPECT_TRUE(Call(key_));
  Pass(absl::Minutes(3));
  const int before = store_.exchanges();
  Pass(absl::Minutes(3));
  EXPECT_EQ(store_.exchanges(), before);
}

}  // namespace
}  // namespace slipway::gateway
