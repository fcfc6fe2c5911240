#ifndef SLIPWAY_SERVICES_CONTROLLER_RECONCILE_H_
#define SLIPWAY_SERVICES_CONTROLLER_RECONCILE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "services/controller/deployment.h"

// The controller's one decision: from what is wanted and what is seen, what to do next. Pure:
// no clock, no I/O; every duration comes in with the observation. Level-triggered: it looks at
// the state alone, so a lost event or a restart changes nothing. Idempotent: once what was seen
// shows an action's effect, the action is not asked for again.
namespace slipway::controller {

/// How patient the controller is.
struct Patience {
  /// From the moment that a route leaves a worker's model out until the model is unloaded: the
  /// gateways learn of a new table within milliseconds, and the worker itself finishes the calls
  /// that it has.
  absl::Duration drain = absl::Seconds(2);
  /// A worker that has not answered for so long takes no traffic.
  absl::Duration silence = absl::Seconds(10);
  /// A worker whose process runs and that has not answered for so long is stopped.
  absl::Duration hang = absl::Seconds(90);
  /// Between two starts of a worker that dies: doubles from first to last.
  absl::Duration first_restart = absl::Milliseconds(200);
  absl::Duration last_restart = absl::Seconds(30);
  /// Between two loads of a version that fails: doubles from first to last.
  absl::Duration first_reload = absl::Seconds(10);
  absl::Duration last_reload = absl::Minutes(10);
  /// A worker whose memory has been in fragments for so long is replaced.
  absl::Duration fragmented = absl::InfiniteDuration();
};

struct PoolSize {
  std::string name;
  /// Indices from 0: for every tenant.
  int workers = 1;
  /// False where somebody else keeps the workers running.
  bool launched = true;
  /// The indices after those: each for one owner, while it is needed.
  int isolated = 0;
  /// The workers for every tenant load uploaded versions, too.
  bool shares_uploaded = false;
  /// The last index, for every tenant too, where the pool has one: it runs while one of those is
  /// replaced, and from then on in place of that one.
  bool spare = false;
};

/// A deployment as it is wanted, its alias followed, its rollout decided.
struct DesiredDeployment {
  DeploymentName name;
  std::string pool;
  int replicas = 1;
  bool deleting = false;
  /// Its owner wants nothing of it, for now.
  bool unloaded = false;
  /// What is to take the calls (all but the candidate's share). Nothing until the registry has
  /// said what `model_version` names.
  std::optional<VersionName> wanted;
  /// On trial beside it, with this share of the calls.
  std::optional<VersionName> candidate = std::nullopt;
  int percent = 0;
  /// Stays where it is loaded.
  std::optional<VersionName> kept = std::nullopt;
  /// Those of its versions that run on isolated workers, since their tenant made the files.
  std::set<VersionName> isolated = {};
  /// Those among them that are code, and have processes of their own.
  std::set<VersionName> alone = {};
  /// Why the version that the owner named is not wanted; empty: it is.
  std::string refused = "";
  /// Why `wanted` is unknown or out of date; empty: it is neither.
  std::string unresolved;
  std::optional<VersionName> serving;
};

struct Desired {
  std::vector<PoolSize> pools;
  std::vector<DesiredDeployment> deployments;
  Patience patience;
};

struct ObservedModel {
  enum class State { kLoading, kReady, kFailed, kUnloading };
  State state = State::kLoading;
  /// Of the newest failed load; kept while it is tried again.
  std::string error;
  /// Loads that failed on this worker, and how long ago the newest did.
  int failures = 0;
  absl::Duration failed_for = absl::ZeroDuration();
  /// Since a published route last named it; infinite when none did.
  absl::Duration unrouted_for = absl::InfiniteDuration();
  /// What the worker knows of it once it is ready. Decides nothing.
  slipway::worker::v1::ModelFacts facts = {};
};

struct ObservedWorker {
  enum class State {
    /// No process.
    kDown,
    /// A process that has not answered yet.
    kStarting,
    /// It has answered; `models` is its newest answer.
    kUp,
  };
  State state = State::kDown;
  /// Starts in a row that did not last, and how long the worker has been down.
  int failed_starts = 0;
  absl::Duration down_for = absl::InfiniteDuration();
  /// Why it went down, for people; kept for a while once it runs again.
  std::string down_reason;
  /// Of an isolated one: for whom it runs, or ran last (WorkerProcess::owner).
  std::string owner = "";
  /// It was retired and has not ended yet.
  bool ending = false;
  /// Why it has not answered yet, where that is known; for people.
  std::string waits_for = "";
  /// Since when much more of its memory is resident than it can account for; nothing: it is not.
  std::optional<absl::Duration> fragmented_for = std::nullopt;
  /// Since its newest answer, or since its start where there is none.
  absl::Duration silent_for = absl::ZeroDuration();
  std::map<ModelKey, ObservedModel> models;
};

/// A version on trial, ready on all of its workers.
struct CandidateRoute {
  VersionName version;
  /// Of the calls; all others go to the route's version.
  int percent = 0;
  std::set<WorkerId> workers;
  bool operator==(const CandidateRoute&) const = default;
};

/// What the gateways were told of one deployment. No version: it exists, and nothing serves it
/// (but the candidate, with all calls where its share is not 0).
struct ObservedRoute {
  std::optional<VersionName> version;
  std::set<WorkerId> workers;
  std::optional<CandidateRoute> candidate = std::nullopt;
  bool operator==(const ObservedRoute&) const = default;
};

/// Does the route name the version on this worker?
bool Routes(const ObservedRoute& route, const WorkerId& worker, const VersionName& version);

struct Observed {
  /// A worker that is absent here is down.
  std::map<WorkerId, ObservedWorker> workers;
  std::map<DeploymentName, ObservedRoute> routes;
};

struct StartWorker {
  WorkerId worker;
  /// Of an isolated one.
  std::string owner = "";
  bool operator==(const StartWorker&) const = default;
};
/// Ends a process that hangs; it counts as a failed start.
struct StopWorker {
  WorkerId worker;
  std::string reason;
  bool operator==(const StopWorker&) const = default;
};
/// Lets a worker end that nobody needs any more: an isolated one, or one that was replaced.
struct RetireWorker {
  WorkerId worker;
  bool operator==(const RetireWorker&) const = default;
};
struct LoadModel {
  WorkerId worker;
  ModelKey model;
  bool operator==(const LoadModel&) const = default;
};
struct UnloadModel {
  WorkerId worker;
  ModelKey model;
  bool operator==(const UnloadModel&) const = default;
};
/// Publishes where the deployment's calls go. A new version is recorded as serving first.
struct SetRoute {
  DeploymentName deployment;
  ObservedRoute route;
  bool operator==(const SetRoute&) const = default;
};
struct RemoveRoute {
  DeploymentName deployment;
  bool operator==(const RemoveRoute&) const = default;
};
/// Drops the row of a deleted deployment: nothing of it is left anywhere.
struct ForgetDeployment {
  DeploymentName deployment;
  bool operator==(const ForgetDeployment&) const = default;
};
using Action = std::variant<StartWorker, StopWorker, RetireWorker, LoadModel, UnloadModel, SetRoute,
                            RemoveRoute, ForgetDeployment>;

/// One line for a log or a failed test.
std::string ToString(const Action& action);
/// Its verb, for a metric: "load".
std::string KindOf(const Action& action);

/// What to do now, to be done in this order. Any thread.
///
/// - Every worker of every launched pool runs; one that dies starts again, each time a little
/// later. An isolated one runs while a version of its owner needs it.
/// - A worker whose memory is in fragments is replaced: another one is started, takes over what it
/// serves, and then it ends. One of a pool at a time; an isolated one where another has room.
/// - A deployment's wanted version is loaded on `replicas` workers of its pool. A worker that has
///   it is preferred, so that choices stay. A version that is to be isolated goes to isolated
///   workers of its tenant, or of its own where it is code, which are started for it; no other
///   tenant's version comes there.
/// - What serves goes on serving until the wanted version is ready on all of its workers. Then the
///   route moves at once, and the old version is unloaded once it was out of the route for
///   `patience.drain`.
/// - A candidate is loaded beside the wanted version, and is in the route while it is ready on all
///   of its workers.
/// - Nothing is unloaded of a deployment whose wanted version is not known (yet): a controller that
/// starts finds models on workers that outlived the one before.
/// - A version that fails to load is never routed; it is tried again, each time a little later.
/// - A deleted deployment leaves the routes first, then the workers, then the store.
std::vector<Action> Reconcile(const Desired& desired, const Observed& observed);

/// What a worker that is ready with the model says of it; null where none is.
const slipway::worker::v1::ModelFacts* FindFacts(const Observed& observed, const ModelKey& model);

/// What a deployment's owner is told.
struct DeploymentSummary {
  enum class State {
    kPending,
    kLoading,
    kReady,
    kFailed,
    kDeleting,
    kRollingOut,
    kRolledBack,
    kUnloaded,
  };
  State state = State::kPending;
  /// The version that answers now.
  std::optional<VersionName> serving;
  int ready_replicas = 0;
  /// The candidate's share of the calls as the gateways know it.
  int candidate_percent = 0;
  /// Why it is not (or not quite) as wanted; empty: it is.
  std::string error;
  /// Of `serving`, as a worker that is ready with it says.
  slipway::worker::v1::ModelFacts facts = {};
};
DeploymentSummary Summarize(const DesiredDeployment& deployment, const Observed& observed);

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_RECONCILE_H_
