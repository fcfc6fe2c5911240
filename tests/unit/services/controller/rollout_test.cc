#include "services/controller/rollout.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;
using Phase = Trial::Phase;
using Verdict = Judgement::Verdict;

VersionName Version(int64_t number) { return {{"acme", "cnn"}, number}; }
const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

RolloutPolicy Policy(Strategy strategy) {
  RolloutPolicy policy;
  policy.strategy = strategy;
  policy.keep_previous = absl::Minutes(10);
  return policy;
}

// Calls that all took as long.
Traffic Calls(int64_t answered, int64_t errors, absl::Duration took = absl::Milliseconds(10)) {
  Traffic traffic;
  traffic.errors = errors;
  traffic.answered.buckets[LatencyHistogram::BucketOf(took)] = answered;
  return traffic;
}

Traffic WithSlow(Traffic traffic, int64_t calls, absl::Duration took) {
  traffic.answered.buckets[LatencyHistogram::BucketOf(took)] += calls;
  return traffic;
}

// Version 2 beside 1, as an alias or an update brought it.
RolloutView Second(absl::Duration later = absl::ZeroDuration()) {
  RolloutView view;
  view.resolved = Version(2);
  view.serving = Version(1);
  view.now = kStart + later;
  return view;
}

Trial In(Phase phase, int step = 0) {
  return {.candidate = Version(2),
          .stable = Version(1),
          .phase = phase,
          .step = step,
          .since = kStart,
          .reason = ""};
}

TEST(JudgeTest, TellsBadFromGoodByErrorsAndLatencyBesideTheStableVersion) {
  const absl::Duration fast = absl::Milliseconds(10);
  const absl::Duration slow = absl::Milliseconds(30);
  const struct {
    const char* rule;
    Traffic candidate;
    Traffic stable;
    Verdict verdict;
    const char* reason;
  } rows[] = {
      {"too few calls tell nothing", Calls(99, 0), Calls(2000, 0), Verdict::kWait,
       "99 of 100 calls seen"},
      {"even where they are all bad", Calls(0, 99), Calls(2000, 0), Verdict::kWait,
       "99 of 100 calls seen"},
      {"as good as the stable version", Calls(100, 0), Calls(2000, 0), Verdict::kGood,
       "0.00% of 100 calls failed"},
      {"many errors are bad", Calls(90, 10), Calls(2000, 0), Verdict::kBad,
       "too many calls failed: 10.00% of 100"},
      {"the callers' own errors come to both", Calls(90, 10), Calls(1800, 200), Verdict::kGood,
       "10.00% of 100"},
      {"what may be chance waits", Calls(98, 2), Calls(2000, 0), Verdict::kWait,
       "more calls are needed to tell"},
      {"the same share of more calls is no chance", Calls(9800, 200), Calls(20000, 0),
       Verdict::kBad, "too many calls failed"},
      {"within what is allowed", Calls(9950, 50), Calls(20000, 0), Verdict::kGood, "0.50%"},
      {"three times as slow is bad", Calls(100, 0, slow), Calls(2000, 0, fast), Verdict::kBad,
       "it is too slow"},
      {"what may be chance waits there, too", WithSlow(Calls(92, 0, fast), 8, slow),
       Calls(2000, 0, fast), Verdict::kWait, "more calls are needed to tell"},
      {"the same share of more slow calls is no chance", WithSlow(Calls(9200, 0, fast), 800, slow),
       Calls(20000, 0, fast), Verdict::kBad, "it is too slow"},
      {"a little slower is not", Calls(100, 0, fast * 1.2), Calls(2000, 0, fast), Verdict::kGood,
       ""},
      {"faster is good", Calls(100, 0, fast), Calls(2000, 0, slow), Verdict::kGood, ""},
      {"less than a millisecond is not slow", Calls(100, 0, absl::Microseconds(800)),
       Calls(2000, 0, absl::Microseconds(100)), Verdict::kGood, ""},
      {"a stable version that nobody calls leaves nothing to compare with", Calls(100, 0, slow),
       Calls(0, 0), Verdict::kGood, ""},
      {"nor one that few call", Calls(100, 0, slow), Calls(99, 0, fast), Verdict::kGood, ""},
  };
  for (const auto& row : rows) {
    const Judgement judgement =
        Judge(Policy(Strategy::kCanary), {.candidate = row.candidate, .stable = row.stable});
    EXPECT_EQ(judgement.verdict, row.verdict) << row.rule << ": " << judgement.reason;
    EXPECT_THAT(judgement.reason, HasSubstr(row.reason)) << row.rule;
  }
}

TEST(AdvanceTest, TheFirstVersionIsTriedBesideNothing) {
  RolloutView view = Second();
  view.serving.reset();
  EXPECT_EQ(Advance(Policy(Strategy::kCanary), std::nullopt, view), std::nullopt);
}

TEST(AdvanceTest, WhatTheRegistryDoesNotSayChangesNothing) {
  RolloutView view = Second();
  view.resolved.reset();
  EXPECT_EQ(Advance(Policy(Strategy::kCanary), In(Phase::kRunning), view), In(Phase::kRunning));
}

TEST(AdvanceTest, ADirectRolloutIsPromotedOnceItServes) {
  const RolloutPolicy policy = Policy(Strategy::kDirect);
  RolloutView view = Second();
  auto trial = Advance(policy, std::nullopt, view);
  ASSERT_TRUE(trial);
  EXPECT_EQ(trial->phase, Phase::kLoading);
  EXPECT_EQ(trial->stable, Version(1));
  EXPECT_EQ(AimOf(policy, trial, Version(2), Version(1), kStart), (Aim{.wanted = Version(2)}));
  EXPECT_EQ(Advance(policy, trial, view), trial);
  view.serving = Version(2);
  EXPECT_EQ(Advance(policy, trial, view)->phase, Phase::kPromoted);
}

TEST(AdvanceTest, ACandidateTakesNoCallsUntilItIsReady) {
  for (const Strategy strategy : {Strategy::kCanary, Strategy::kBlueGreen, Strategy::kWeighted}) {
    RolloutPolicy policy = Policy(strategy);
    policy.percent = 30;
    auto trial = Advance(policy, std::nullopt, Second());
    ASSERT_TRUE(trial);
    EXPECT_EQ(trial->phase, Phase::kLoading);
    EXPECT_EQ(Advance(policy, trial, Second(absl::Hours(1))), trial);
    EXPECT_EQ(AimOf(policy, trial, Version(2), Version(1), kStart),
              (Aim{.wanted = Version(1), .candidate = Version(2), .percent = 0}));

    RolloutView ready = Second(absl::Seconds(5));
    ready.candidate_ready = true;
    trial = Advance(policy, trial, ready);
    EXPECT_EQ(trial->phase, Phase::kRunning);
    EXPECT_EQ(trial->since, ready.now);
    const int percent = strategy == Strategy::kCanary     ? 5
                        : strategy == Strategy::kWeighted ? 30
                                                          : 0;
    EXPECT_EQ(AimOf(policy, trial, Version(2), Version(1), kStart),
              (Aim{.wanted = Version(1), .candidate = Version(2), .percent = percent}));
    EXPECT_EQ(Advance(policy, trial, ready), trial) << "deciding twice changes nothing";
  }
}

TEST(AdvanceTest, AGoodCanaryGoesUpItsStepsAndIsPromotedAfterTheLast) {
  const RolloutPolicy policy = Policy(Strategy::kCanary);
  std::optional<Trial> trial = In(Phase::kRunning);
  RolloutView view = Second(absl::Seconds(59));
  view.candidate_ready = true;
  view.traffic = {.candidate = Calls(200, 0), .stable = Calls(4000, 0)};
  EXPECT_EQ(Advance(policy, trial, view), trial) << "a step lasts its time";
  for (const int percent : {25, 50}) {
    view.now = trial->since + policy.step_time;
    trial = Advance(policy, trial, view);
    EXPECT_EQ(trial->phase, Phase::kRunning);
    EXPECT_EQ(trial->since, view.now);
    EXPECT_EQ(AimOf(policy, trial, Version(2), Version(1), view.now).percent, percent);
  }
  view.now = trial->since + policy.step_time;
  trial = Advance(policy, trial, view);
  EXPECT_EQ(trial->phase, Phase::kPromoted);
  EXPECT_THAT(trial->reason, HasSubstr("0.00% of 200 calls failed"));
}

TEST(AdvanceTest, ACanaryWithoutCallsStaysWhereItIs) {
  RolloutView view = Second(absl::Hours(24));
  view.candidate_ready = true;
  EXPECT_EQ(Advance(Policy(Strategy::kCanary), In(Phase::kRunning), view), In(Phase::kRunning));
}

TEST(AdvanceTest, ABadCanaryGoesBackBeforeItsStepIsOver) {
  const RolloutPolicy policy = Policy(Strategy::kCanary);
  RolloutView view = Second(absl::Seconds(3));
  view.candidate_ready = true;
  view.traffic = {.candidate = Calls(50, 50), .stable = Calls(2000, 0)};
  const auto trial = Advance(policy, In(Phase::kRunning), view);
  EXPECT_EQ(trial->phase, Phase::kRolledBack);
  EXPECT_THAT(trial->reason, HasSubstr("50.00% of 100 calls failed"));
  EXPECT_EQ(AimOf(policy, trial, Version(2), Version(1), view.now), (Aim{.wanted = Version(1)}));
  EXPECT_EQ(Advance(policy, trial, Second(absl::Hours(1))), trial) << "it is not tried again";
}

TEST(AdvanceTest, OnlyACanaryIsJudged) {
  for (const Strategy strategy : {Strategy::kBlueGreen, Strategy::kWeighted}) {
    RolloutView view = Second(absl::Hours(1));
    view.candidate_ready = true;
    view.traffic = {.candidate = Calls(0, 1000), .stable = Calls(1000, 0)};
    EXPECT_EQ(Advance(Policy(strategy), In(Phase::kRunning), view), In(Phase::kRunning));
  }
}

TEST(AdvanceTest, AnotherVersionBeginsATrialOfItsOwn) {
  for (const Phase phase :
       {Phase::kLoading, Phase::kRunning, Phase::kPromoted, Phase::kRolledBack}) {
    RolloutView view = Second();
    view.resolved = Version(3);
    view.candidate_ready = true;  // the one before it
    const auto trial = Advance(Policy(Strategy::kCanary), In(phase), view);
    EXPECT_EQ(trial->candidate, Version(3));
    EXPECT_EQ(trial->stable, Version(1));
    EXPECT_EQ(trial->phase, Phase::kLoading);
  }
}

TEST(AdvanceTest, WhoeverNamesTheStableVersionAgainEndsTheTrial) {
  RolloutView view = Second();
  view.resolved = Version(1);
  EXPECT_EQ(Advance(Policy(Strategy::kCanary), In(Phase::kRunning), view), std::nullopt);
}

TEST(AimOfTest, ThePreviousVersionIsKeptForAWhileAfterAPromotion) {
  const RolloutPolicy policy = Policy(Strategy::kBlueGreen);
  const Trial promoted = In(Phase::kPromoted);
  EXPECT_EQ(AimOf(policy, promoted, Version(2), Version(2), kStart + absl::Seconds(599)),
            (Aim{.wanted = Version(2), .kept = Version(1)}));
  EXPECT_EQ(AimOf(policy, promoted, Version(2), Version(2), kStart + absl::Minutes(10)),
            (Aim{.wanted = Version(2)}));
}

TEST(AimOfTest, WhatServesHoldsUntilATrialHasBegun) {
  // As when the store has no room for it.
  EXPECT_EQ(AimOf(Policy(Strategy::kCanary), std::nullopt, Version(2), Version(1), kStart),
            (Aim{.wanted = Version(1)}));
  EXPECT_EQ(AimOf(Policy(Strategy::kDirect), std::nullopt, Version(2), Version(1), kStart),
            (Aim{.wanted = Version(2)}));
}

TEST(AimOfTest, FewerStepsThanATrialHasDoneLeaveItAtTheLast) {
  RolloutPolicy policy = Policy(Strategy::kCanary);
  policy.steps = {10};
  EXPECT_EQ(AimOf(policy, In(Phase::kRunning, 2), Version(2), Version(1), kStart).percent, 10);
}

TEST(PromoteTest, NeedsACandidateThatIsReady) {
  EXPECT_FALSE(Promote(std::nullopt, kStart).ok());
  EXPECT_THAT(Promote(In(Phase::kLoading), kStart).status().message(), HasSubstr("not loaded"));
  EXPECT_EQ(Promote(In(Phase::kRunning), kStart)->phase, Phase::kPromoted);
  EXPECT_EQ(*Promote(In(Phase::kPromoted), kStart + absl::Seconds(1)), In(Phase::kPromoted));
  EXPECT_FALSE(Promote(In(Phase::kRolledBack), kStart).ok());
}

TEST(RollBackTest, GoesBackFromAnyPhaseAndKeepsTheReason) {
  EXPECT_FALSE(RollBack(std::nullopt, "", kStart).ok());
  for (const Phase phase : {Phase::kLoading, Phase::kRunning, Phase::kPromoted}) {
    const auto back = RollBack(In(phase), "wrong labels", kStart + absl::Seconds(1));
    EXPECT_EQ(back->phase, Phase::kRolledBack);
    EXPECT_EQ(back->reason, "by request: wrong labels");
    EXPECT_EQ(*RollBack(*back, "again", kStart + absl::Seconds(2)), *back);
  }
}

TEST(RolloutPolicyTest, RefusesNonsenseNamingTheField) {
  const struct {
    std::string field;
    std::function<void(RolloutPolicy&)> spoil;
  } rows[] = {
      {"r.percent", [](auto& p) { p.percent = 101; }},
      {"r.percent", [](auto& p) { p.percent = -1; }},
      {"r.steps[0]", [](auto& p) { p.steps = {0}; }},
      {"r.steps[1]",
       [](auto& p) {
         p.steps = {50, 50};
       }},
      {"r.steps[1]",
       [](auto& p) {
         p.steps = {50, 101};
       }},
      {"r.steps", [](auto& p) { p.steps.assign(21, 1); }},
      {"r.step_time", [](auto& p) { p.step_time = -absl::Seconds(1); }},
      {"r.min_calls", [](auto& p) { p.min_calls = -1; }},
      {"r.max_error_increase", [](auto& p) { p.max_error_increase = 1.5; }},
      {"r.max_latency_ratio", [](auto& p) { p.max_latency_ratio = 0.5; }},
      {"r.keep_previous", [](auto& p) { p.keep_previous = absl::Hours(1000); }},
  };
  EXPECT_TRUE(RolloutPolicy().Check("r").ok());
  for (const auto& row : rows) {
    RolloutPolicy policy;
    row.spoil(policy);
    EXPECT_EQ(FieldOf(policy.Check("r")), row.field);
  }
}

TEST(LatencyHistogramTest, AQuantileIsWithinItsBucket) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(0.95), absl::ZeroDuration());
  for (int i = 1; i <= 100; ++i) {
    ++histogram.buckets[LatencyHistogram::BucketOf(absl::Milliseconds(i))];
  }
  EXPECT_EQ(histogram.count(), 100);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(histogram.Quantile(0.5)), 50, 5);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(histogram.Quantile(0.95)), 95, 9);
  EXPECT_NEAR(static_cast<double>(histogram.CountAbove(absl::Milliseconds(50))), 50, 8);
  EXPECT_EQ(histogram.CountAbove(absl::Milliseconds(100)), 0);
  EXPECT_EQ(LatencyHistogram::BucketOf(absl::ZeroDuration()), 0u);
  EXPECT_EQ(LatencyHistogram::BucketOf(absl::Hours(1)), LatencyHistogram::kBuckets - 1);
  EXPECT_LT(absl::Microseconds(49), LatencyHistogram::UpperBound(0));
  EXPECT_EQ(LatencyHistogram::BucketOf(absl::Microseconds(49)), 0u);
}

}  // namespace
}  // namespace slipway::controller
