#ifndef SLIPWAY_SERVICES_CONTROLLER_ROLLOUT_H_
#define SLIPWAY_SERVICES_CONTROLLER_ROLLOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics/latency_histogram.h"
#include "common/names/names.h"
#include "common/status/status.h"

// How a deployment moves from one version to another. Pure: no clock, no I/O. Reconcile says what
// to do for an aim; this says what the aim is.
namespace slipway::controller {

enum class Strategy { kDirect, kCanary, kBlueGreen, kWeighted };

/// As v1::RolloutPolicy, which says what each field means.
struct RolloutPolicy {
  Strategy strategy = Strategy::kDirect;
  int percent = 0;
  std::vector<int> steps = {5, 25, 50};
  absl::Duration step_time = absl::Minutes(1);
  int64_t min_calls = 100;
  double max_error_increase = 0.01;
  double max_latency_ratio = 1.5;
  absl::Duration keep_previous = absl::ZeroDuration();

  /// Errors: InvalidField(field + ".steps[1]"), ...
  absl::Status Check(std::string_view field) const;
  bool operator==(const RolloutPolicy&) const = default;
};

/// What has become of one version beside the one that served before it; kept with the deployment.
struct Trial {
  enum class Phase { kLoading, kRunning, kPromoted, kRolledBack };
  VersionName candidate;
  /// What served when the trial began, and serves again after a rollback.
  VersionName stable;
  Phase phase = Phase::kLoading;
  /// Of the canary's steps.
  int step = 0;
  /// When phase or step changed last.
  absl::Time since;
  std::string reason = "";
  bool operator==(const Trial&) const = default;
};

/// Calls of one version.
struct Traffic {
  int64_t errors = 0;
  LatencyHistogram answered = {};

  int64_t calls() const { return errors + answered.count(); }
  double error_rate() const {
    return calls() == 0 ? 0 : static_cast<double>(errors) / static_cast<double>(calls());
  }
  void Add(const Traffic& other);
};

/// Of both versions, since the trial's step began.
struct TrialTraffic {
  Traffic candidate = {};
  Traffic stable = {};
};

struct Judgement {
  enum class Verdict {
    kWait,  // too little is known
    kGood,
    kBad,
  };
  Verdict verdict = Verdict::kWait;
  /// In words, with the figures.
  std::string reason = "";
};

/// Judges a canary by its calls. Bad is what chance does not explain, by the lower end of the 95%
/// interval (Wilson's) of a share: its error rate is above the stable version's by more than is
/// allowed, or more than 5% of its calls took longer than the stable version's 95th percentile
/// times the ratio (and a millisecond more). What looks bad and may be chance waits for more calls.
Judgement Judge(const RolloutPolicy& policy, const TrialTraffic& traffic);

/// What is seen of a deployment when its rollout is looked at.
struct RolloutView {
  /// What its model_version names now; nothing until the registry has said.
  std::optional<VersionName> resolved;
  std::optional<VersionName> serving;
  /// The trial's candidate is loaded on all its replicas.
  bool candidate_ready = false;
  TrialTraffic traffic;
  absl::Time now;
};

/// The trial as it goes on from here: begun, begun anew for another version, promoted, rolled
/// back, dropped, or as it was. Idempotent.
std::optional<Trial> Advance(const RolloutPolicy& policy, const std::optional<Trial>& trial,
                             const RolloutView& view);

/// What Reconcile is to bring about.
struct Aim {
  /// Takes all calls but the candidate's share.
  std::optional<VersionName> wanted;
  /// Is loaded beside it, and takes `percent` of the calls.
  std::optional<VersionName> candidate = std::nullopt;
  int percent = 0;
  /// Is not unloaded yet, so that a rollback is instant.
  std::optional<VersionName> kept = std::nullopt;
  bool operator==(const Aim&) const = default;
};
Aim AimOf(const RolloutPolicy& policy, const std::optional<Trial>& trial,
          const std::optional<VersionName>& resolved, const std::optional<VersionName>& serving,
          absl::Time now);

/// The trial after its owner asked. Asking twice is harmless. Errors: kFailedPrecondition.
absl::StatusOr<Trial> Promote(const std::optional<Trial>& trial, absl::Time now);
absl::StatusOr<Trial> RollBack(const std::optional<Trial>& trial, std::string_view reason,
                               absl::Time now);

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_ROLLOUT_H_
