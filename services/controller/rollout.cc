#include "services/controller/rollout.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"

namespace slipway::controller {
namespace {

using Phase = Trial::Phase;
using Verdict = Judgement::Verdict;

constexpr double kQuantile = 0.95;
// Of a 95% interval.
constexpr double kZ = 1.96;
// What a latency may be above the other one however small both are.
constexpr absl::Duration kLatencySlack = absl::Milliseconds(1);
constexpr size_t kMaxSteps = 20;

// The lower end of Wilson's interval for a share of `hits` in `all`, which is not 0.
double LowerBound(int64_t hits, int64_t all) {
  const auto n = static_cast<double>(all);
  const double share = static_cast<double>(hits) / n;
  const double spread = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return (share + kZ * kZ / (2 * n) - spread) / (1 + kZ * kZ / n);
}

std::string Figures(const TrialTraffic& traffic) {
  const Traffic& candidate = traffic.candidate;
  const Traffic& stable = traffic.stable;
  std::string text = fmt::format("{:.2f}% of {} calls failed, {:.2f}% of the stable version's {}",
                                 100 * candidate.error_rate(), candidate.calls(),
                                 100 * stable.error_rate(), stable.calls());
  if (candidate.answered.count() > 0 && stable.answered.count() > 0) {
    text += fmt::format("; 95% took at most {:.1f} ms, the stable version's {:.1f} ms",
                        absl::ToDoubleMilliseconds(candidate.answered.Quantile(kQuantile)),
                        absl::ToDoubleMilliseconds(stable.answered.Quantile(kQuantile)));
  }
  return text;
}

Trial Enter(Trial trial, Phase phase, std::string reason, absl::Time now) {
  trial.phase = phase;
  trial.since = now;
  trial.reason = std::move(reason);
  return trial;
}

Trial EnterStep(Trial trial, const RolloutPolicy& policy, int step, absl::Time now) {
  trial.step = step;
  std::string reason;
  switch (policy.strategy) {
    case Strategy::kCanary:
      reason = fmt::format("step {} of {}", step + 1, policy.steps.size());
      break;
    case Strategy::kBlueGreen:
      reason = "it is ready, and takes all calls once it is promoted";
      break;
    default:
      reason = "it is ready, and takes its share of the calls";
  }
  return Enter(std::move(trial), Phase::kRunning, std::move(reason), now);
}

Trial GoOn(const RolloutPolicy& policy, Trial trial, const RolloutView& view) {
  if (trial.phase != Phase::kLoading && trial.phase != Phase::kRunning) return trial;
  if (policy.strategy == Strategy::kDirect) {
    if (view.serving != trial.candidate) return trial;
    return Enter(std::move(trial), Phase::kPromoted, "all calls moved at once", view.now);
  }
  if (trial.phase == Phase::kLoading) {
    return view.candidate_ready ? EnterStep(std::move(trial), policy, 0, view.now) : trial;
  }
  if (policy.strategy != Strategy::kCanary) return trial;
  Judgement judgement = Judge(policy, view.traffic);
  if (judgement.verdict == Verdict::kBad) {
    return Enter(std::move(trial), Phase::kRolledBack, std::move(judgement.reason), view.now);
  }
  if (judgement.verdict == Verdict::kWait || view.now - trial.since < policy.step_time) {
    return trial;
  }
  const int next = trial.step + 1;
  if (next < static_cast<int>(policy.steps.size())) {
    return EnterStep(std::move(trial), policy, next, view.now);
  }
  return Enter(std::move(trial), Phase::kPromoted, std::move(judgement.reason), view.now);
}

int PercentOf(const RolloutPolicy& policy, const Trial& trial) {
  if (trial.phase != Phase::kRunning) return 0;
  if (policy.strategy == Strategy::kWeighted) return policy.percent;
  if (policy.strategy != Strategy::kCanary || policy.steps.empty()) return 0;
  // The steps may have become fewer since.
  const int last = static_cast<int>(policy.steps.size()) - 1;
  return policy.steps[static_cast<size_t>(std::clamp(trial.step, 0, last))];
}

}  // namespace

absl::Status RolloutPolicy::Check(std::string_view field) const {
  const auto name = [&](std::string_view part) { return fmt::format("{}.{}", field, part); };
  if (percent < 0 || percent > 100) {
    return InvalidField(name("percent"), fmt::format("must be from 0 to 100, got {}", percent));
  }
  if (steps.size() > kMaxSteps) {
    return InvalidField(name("steps"), fmt::format("must be at most {}", kMaxSteps));
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    const int least = i == 0 ? 1 : steps[i - 1] + 1;
    if (steps[i] < least || steps[i] > 100) {
      return InvalidField(name(fmt::format("steps[{}]", i)),
                          fmt::format("must be from {} to 100, got {}", least, steps[i]));
    }
  }
  if (step_time < absl::ZeroDuration() || step_time > absl::Hours(24 * 7)) {
    return InvalidField(name("step_time"), "must be from 0 to a week");
  }
  if (min_calls < 1) return InvalidField(name("min_calls"), "must be at least 1");
  if (!(max_error_increase >= 0 && max_error_increase <= 1)) {
    return InvalidField(name("max_error_increase"), "must be from 0 to 1");
  }
  if (!(max_latency_ratio >= 1 && max_latency_ratio <= 1000)) {
    return InvalidField(name("max_latency_ratio"), "must be from 1 to 1000");
  }
  if (keep_previous < absl::ZeroDuration() || keep_previous > absl::Hours(24 * 7)) {
    return InvalidField(name("keep_previous"), "must be from 0 to a week");
  }
  return absl::OkStatus();
}

void Traffic::Add(const Traffic& other) {
  errors += other.errors;
  for (size_t i = 0; i < answered.buckets.size(); ++i) {
    answered.buckets[i] += other.answered.buckets[i];
  }
}

Judgement Judge(const RolloutPolicy& policy, const TrialTraffic& traffic) {
  const Traffic& candidate = traffic.candidate;
  const Traffic& stable = traffic.stable;
  if (candidate.calls() < policy.min_calls) {
    return {Verdict::kWait,
            fmt::format("{} of {} calls seen", candidate.calls(), policy.min_calls)};
  }
  const double allowed = stable.error_rate() + policy.max_error_increase;
  if (LowerBound(candidate.errors, candidate.calls()) > allowed) {
    return {Verdict::kBad, "too many calls failed: " + Figures(traffic)};
  }
  bool unsure = candidate.error_rate() > allowed;
  // A share that leaves the stable version with few calls leaves nothing to compare with.
  if (stable.answered.count() >= policy.min_calls &&
      candidate.answered.count() >= policy.min_calls) {
    const absl::Duration usual = stable.answered.Quantile(kQuantile);
    const absl::Duration limit = std::max(usual * policy.max_latency_ratio, usual + kLatencySlack);
    const int64_t slow = candidate.answered.CountAbove(limit);
    if (LowerBound(slow, candidate.answered.count()) > 1 - kQuantile) {
      return {Verdict::kBad, "it is too slow: " + Figures(traffic)};
    }
    unsure = unsure || candidate.answered.Quantile(kQuantile) > limit;
  }
  if (unsure) return {Verdict::kWait, "more calls are needed to tell: " + Figures(traffic)};
  return {Verdict::kGood, Figures(traffic)};
}

std::optional<Trial> Advance(const RolloutPolicy& policy, const std::optional<Trial>& trial,
                             const RolloutView& view) {
  // The first version of a deployment is tried beside nothing.
  if (!view.resolved || !view.serving) return trial;
  if (trial && trial->candidate == *view.resolved) return GoOn(policy, *trial, view);
  if (view.resolved == view.serving) return std::nullopt;
  Trial begun{.candidate = *view.resolved,
              .stable = *view.serving,
              .phase = Phase::kLoading,
              .since = view.now,
              .reason = "it is being loaded"};
  RolloutView unready = view;
  unready.candidate_ready = false;
  return GoOn(policy, std::move(begun), unready);
}

Aim AimOf(const RolloutPolicy& policy, const std::optional<Trial>& trial,
          const std::optional<VersionName>& resolved, const std::optional<VersionName>& serving,
          absl::Time now) {
  if (!resolved || !serving) return {.wanted = resolved};
  if (!trial || trial->candidate != *resolved) {
    // Its trial has not begun.
    return {.wanted = policy.strategy == Strategy::kDirect ? resolved : serving};
  }
  switch (trial->phase) {
    case Phase::kLoading:
    case Phase::kRunning:
      if (policy.strategy == Strategy::kDirect) return {.wanted = trial->candidate};
      return {.wanted = trial->stable,
              .candidate = trial->candidate,
              .percent = PercentOf(policy, *trial)};
    case Phase::kPromoted: {
      Aim aim{.wanted = trial->candidate};
      if (now - trial->since < policy.keep_previous) aim.kept = trial->stable;
      return aim;
    }
    case Phase::kRolledBack:
      return {.wanted = trial->stable};
  }
  return {.wanted = serving};
}

absl::StatusOr<Trial> Promote(const std::optional<Trial>& trial, absl::Time now) {
  if (!trial) return absl::FailedPreconditionError("there is no rollout to promote");
  switch (trial->phase) {
    case Phase::kLoading:
      return absl::FailedPreconditionError(
          fmt::format("{} is not loaded on all its replicas yet", trial->candidate.ToString()));
    case Phase::kRunning:
      return Enter(*trial, Phase::kPromoted, "by request", now);
    case Phase::kPromoted:
      return *trial;
    case Phase::kRolledBack:
      break;
  }
  return absl::FailedPreconditionError(
      fmt::format("the rollout of {} went back; update the deployment to try it again",
                  trial->candidate.ToString()));
}

absl::StatusOr<Trial> RollBack(const std::optional<Trial>& trial, std::string_view reason,
                               absl::Time now) {
  if (!trial) return absl::FailedPreconditionError("there is no version before this one");
  if (trial->phase == Phase::kRolledBack) return *trial;
  return Enter(*trial, Phase::kRolledBack,
               reason.empty() ? "by request" : fmt::format("by request: {}", reason), now);
}

}  // namespace slipway::controller
