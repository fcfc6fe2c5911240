#ifndef SLIPWAY_SERVICES_CONTROLLER_CONTROLLER_H_
#define SLIPWAY_SERVICES_CONTROLLER_CONTROLLER_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/controller/deployment.h"
#include "services/controller/deployment_store.h"
#include "services/controller/fleet.h"
#include "services/controller/reconcile.h"
#include "services/controller/registry_client.h"
#include "services/controller/route_board.h"
#include "services/controller/routing.h"
#include "services/controller/version_catalog.h"
#include "services/controller/worker_client.h"
#include "services/controller/worker_pool.h"
#include "slipway/identity/v1/purge.pb.h"

namespace slipway::controller {

struct ControllerOptions {
  Patience patience;
  /// A worker that does not say within this what it has is silent.
  absl::Duration list_timeout = absl::Seconds(2);
  /// A worker with a larger WorkerReport::memory_ratio has its memory in fragments; 0: none has.
  double fragmented_above = 0;
  /// TorchScript files that the operator allows (TorchScriptConfig).
  std::vector<std::string> torchscript_digests = {};
};

/// What a caller wants deployed; texts as they came.
struct DeploymentRequest {
  std::string model_version;
  /// Empty: "default" (create), as it is (update).
  std::string pool = "";
  /// 0: 1 (create), as it is (update).
  int replicas = 0;
  /// Nothing: the defaults (create), as it is (update, which changes it no other way).
  std::optional<slipway::worker::v1::RuntimeSettings> runtime = std::nullopt;
  /// Nothing: the default (create), as it is (update).
  std::optional<RolloutPolicy> rollout = std::nullopt;
  /// Likewise.
  std::optional<v1::RoutingPolicy> routing = std::nullopt;
};

/// A deployment and where it is.
struct DeploymentView {
  Deployment deployment;
  DeploymentSummary summary;
  /// Of the trial that runs.
  TrialTraffic traffic = {};
  /// Of the shadow that it has.
  ShadowTraffic shadow = {};
};

/// What a gateway measured of one version.
struct TrafficReport {
  DeploymentName deployment;
  VersionName version;
  Traffic traffic;
};

/// What a gateway saw of the copies of a deployment's calls.
struct ShadowReport {
  DeploymentName deployment;
  ShadowTraffic traffic;
};

struct DeploymentPage {
  std::vector<DeploymentView> deployments;
  /// Empty on the last page.
  std::string next_page_token;
};

/// The deployments: what owners ask of them, and the loop that makes it so. It has no thread of
/// its own: ControlLoop (or a test) calls Resolve() and Step() again and again. Any thread may
/// call anything.
///
/// Metrics: slipway_controller_actions_total{action,outcome}, _rollouts_total{outcome},
/// _workers{pool,state} and _deployments{state}.
///
/// Locks, in the order in which they are taken: `step_` (one Step at a time), `writes_` (orders
/// what goes to the store and is held during that I/O), `mutex_` (what is in memory; never held
/// during I/O).
class Controller {
 public:
  /// All arguments outlive the controller. `wake` is called, on any thread and under no lock,
  /// when Resolve() and Step() have something to do.
  Controller(
      DeploymentStore& store, RegistryClient& registry, WorkerClient& workers,
      std::vector<WorkerPool*> pools, RouteBoard& board, const Clock& clock, Metrics& metrics,
      ControllerOptions options = {}, std::function<void()> wake = [] {});

  /// Reads the store. Call once, first.
  absl::Status Load();

  // ---- What owners ask. Another tenant's deployment is answered like an absent one.

  /// Durable when it returns. The same request id again answers the deployment that it made.
  /// Errors: InvalidField (parent, deployment_id, deployment.model_version, deployment.pool,
  /// deployment.replicas, deployment.runtime, deployment.rollout, deployment.routing, request_id),
  /// kFailedPrecondition (TorchScript that is not allowed), kAlreadyExists, kUnavailable (the
  /// registry), StorageFull.
  absl::StatusOr<DeploymentView> Create(const Principal& who, std::string_view parent,
                                        std::string_view deployment_id,
                                        const DeploymentRequest& request,
                                        std::string_view request_id);
  absl::StatusOr<DeploymentView> Get(const Principal& who, const DeploymentName& name) const;
  /// By id. `page_size` 0: 50; at most 1000.
  absl::StatusOr<DeploymentPage> List(const Principal& who, std::string_view parent, int page_size,
                                      std::string_view page_token) const;
  /// Durable when it returns. Errors: as Create, and kFailedPrecondition while it is being
  /// deleted.
  absl::StatusOr<DeploymentView> Update(const Principal& who, const DeploymentName& name,
                                        const DeploymentRequest& request);
  /// Whether it is wanted on workers at all; durable when it returns. Errors: as Update.
  absl::StatusOr<DeploymentView> SetLoaded(const Principal& who, const DeploymentName& name,
                                           bool loaded);
  /// It is gone once no worker has it; until then Get() shows it as being deleted.
  absl::Status Delete(const Principal& who, const DeploymentName& name);

  /// Both durable when they return, and idempotent. Errors: kFailedPrecondition (see rollout.h).
  absl::StatusOr<DeploymentView> Promote(const Principal& who, const DeploymentName& name);
  absl::StatusOr<DeploymentView> RollBack(const Principal& who, const DeploymentName& name,
                                          std::string_view reason);

  /// Counts towards the trials that run and the shadows that there are; what belongs to none is
  /// dropped. Kept in memory: after a restart a trial's step sees its calls anew. Errors:
  /// kFailedPrecondition (on a tenant's behalf).
  absl::Status ReportTraffic(const Principal& who, const std::vector<TrafficReport>& reports,
                             const std::vector<ShadowReport>& shadows = {});

  /// Closes a tenant: nothing can be made in it until this process ends, and later no version is
  /// left that could be deployed (the registry closes it, too). With `remove` its deployments are
  /// deleted; the answer is done once none is left. Repeating it is harmless. Errors: NotFound for
  /// all but operators.
  absl::StatusOr<slipway::identity::v1::PurgeTenantResponse> PurgeTenant(const Principal& who,
                                                                         const TenantName& tenant,
                                                                         bool remove);

  // ---- The loop.

  /// Asks the registry what aliases name and what versions are. May take seconds. True when that
  /// brought news for Step().
  bool Resolve();

  /// Looks at the workers, decides, acts, publishes the routes. True when nothing is under way,
  /// so that the next look may wait for news.
  bool Step();

 private:
  absl::Status CheckPool(const std::string& pool, int replicas) const;
  absl::Status CheckRouting(const DeploymentName& name, const v1::RoutingPolicy& policy) const
      REQUIRES(writes_);
  absl::StatusOr<VersionReference> CheckReference(const Principal& who, const std::string& tenant,
                                                  const std::string& text);
  /// The deployment that an earlier call with this request id made. Errors: kAlreadyExists (the
  /// name is taken), InvalidField(request_id) (it made another).
  absl::StatusOr<std::optional<Deployment>> FindMade(const DeploymentName& name,
                                                     std::string_view request_id) const;
  absl::StatusOr<Deployment> Find(const Principal& who, const DeploymentName& name) const;
  DeploymentView View(const Deployment& deployment) const;
  DesiredDeployment ToDesired(const Deployment& deployment) const;
  std::vector<Deployment> Snapshot() const;
  /// To the store, then to memory.
  absl::Status Save(const Deployment& deployment) REQUIRES(writes_);

  /// Changes the trial of a deployment as its owner asks.
  absl::StatusOr<DeploymentView> ChangeTrial(
      const Principal& who, const DeploymentName& name,
      absl::FunctionRef<absl::StatusOr<Trial>(const std::optional<Trial>&)> change);
  TrialTraffic TrafficOf(const Deployment& deployment) const;
  /// Without what only the loop knows.
  RolloutView LookAt(const Deployment& deployment) const;
  /// Where the deployment's rollout goes on from here.
  std::optional<Trial> AdvancedTrial(const Deployment& deployment) const REQUIRES(step_);
  void AdvanceRollouts() REQUIRES(step_);
  void Announce(const Deployment& deployment) const;

  bool Settled(const Desired& desired, const Observed& observed) const;
  /// False when it failed.
  bool Act(const Action& action) REQUIRES(step_);
  absl::Status Do(const StartWorker& action) REQUIRES(step_);
  absl::Status Do(const StopWorker& action) REQUIRES(step_);
  absl::Status Do(const RetireWorker& action) REQUIRES(step_);
  absl::Status Do(const LoadModel& action) REQUIRES(step_);
  absl::Status Do(const UnloadModel& action) REQUIRES(step_);
  absl::Status Do(const SetRoute& action) REQUIRES(step_);
  absl::Status Do(const RemoveRoute& action) REQUIRES(step_);
  absl::Status Do(const ForgetDeployment& action) REQUIRES(step_);
  void PublishRoutes(const Observed& observed) REQUIRES(step_);
  void Measure(const Desired& desired, const Observed& observed) const;

  DeploymentStore& store_;
  VersionCatalog catalog_;
  RouteBoard& board_;
  const Clock& clock_;
  Metrics& metrics_;
  const Patience patience_;
  const std::function<void()> wake_;
  const std::vector<PoolSize> pools_;
  const std::vector<std::string> torchscript_digests_;

  Mutex step_;
  Fleet fleet_ GUARDED_BY(step_);
  std::map<DeploymentName, ObservedRoute> routes_ GUARDED_BY(step_);
  std::set<std::string> failing_ GUARDED_BY(step_);

  Mutex writes_;
  std::set<std::string> closed_tenants_ GUARDED_BY(writes_);

  mutable Mutex mutex_;
  std::map<DeploymentName, Deployment> deployments_ GUARDED_BY(mutex_);
  /// What was measured since a trial's step began.
  struct StepTraffic {
    VersionName candidate;
    absl::Time since;
    TrialTraffic traffic;
  };
  std::map<DeploymentName, StepTraffic> traffic_ GUARDED_BY(mutex_);
  /// Of the shadows that deployments have now.
  std::map<DeploymentName, ShadowTraffic> shadows_ GUARDED_BY(mutex_);
  /// The newest look, for summaries.
  Observed observed_ GUARDED_BY(mutex_);
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_CONTROLLER_H_
