#include "services/controller/controller.h"

#include <algorithm>
#include <utility>

#include "common/identity/tenant_content.h"
#include "common/log/log.h"
#include "common/runtime_settings/runtime_settings.h"
#include "common/runtime_settings/torchscript.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"

namespace slipway::controller {
namespace {

constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;
constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxReasonBytes = 500;
constexpr char kDefaultPool[] = "default";

using slipway::worker::v1::RuntimeSettings;

std::vector<PoolSize> SizesOf(const std::vector<WorkerPool*>& pools) {
  std::vector<PoolSize> sizes;
  for (const WorkerPool* pool : pools) {
    sizes.push_back({pool->name(), pool->size(), pool->launches(), pool->isolated_size(),
                     pool->shares_uploaded(), pool->has_spare()});
  }
  return sizes;
}

}  // namespace

Controller::Controller(DeploymentStore& store, RegistryClient& registry, WorkerClient& workers,
                       std::vector<WorkerPool*> pools, RouteBoard& board, const Clock& clock,
                       Metrics& metrics, ControllerOptions options, std::function<void()> wake)
    : store_(store),
      catalog_(registry),
      board_(board),
      clock_(clock),
      metrics_(metrics),
      patience_(options.patience),
      wake_(std::move(wake)),
      pools_(SizesOf(pools)),
      torchscript_digests_(std::move(options.torchscript_digests)),
      fleet_(std::move(pools), workers, clock,
             {.list_timeout = options.list_timeout, .fragmented_above = options.fragmented_above}) {
}

absl::Status Controller::Load() {
  ASSIGN_OR_RETURN(std::vector<Deployment> deployments, store_.All());
  MutexLock lock(mutex_);
  for (Deployment& deployment : deployments) {
    DeploymentName name = deployment.name;
    deployments_.emplace(std::move(name), std::move(deployment));
  }
  return absl::OkStatus();
}

absl::Status Controller::CheckPool(const std::string& pool, int replicas) const {
  std::vector<std::string_view> names;
  for (const PoolSize& known : pools_) {
    names.push_back(known.name);
    if (known.name != pool) continue;
    if (replicas >= 1 && replicas <= known.workers) return absl::OkStatus();
    return InvalidField("deployment.replicas",
                        fmt::format("must be from 1 to {}, which is how many workers pool \"{}\" "
                                    "has, got {}",
                                    known.workers, pool, replicas));
  }
  return InvalidField("deployment.pool", fmt::format("there is no pool \"{}\"; there is {}",
                                                     pool.substr(0, 80), fmt::join(names, ", ")));
}

// While no other deployment can change: two that are checked at once could name each other.
absl::Status Controller::CheckRouting(const DeploymentName& name,
                                      const v1::RoutingPolicy& policy) const {
  MutexLock lock(mutex_);
  return controller::CheckRouting(
      name, policy, [&](const DeploymentName& other) REQUIRES(mutex_) -> const v1::RoutingPolicy* {
        const auto known = deployments_.find(other);
        const bool there = known != deployments_.end() && !known->second.deleting;
        return there ? &known->second.routing : nullptr;
      });
}

absl::StatusOr<VersionReference> Controller::CheckReference(const Principal& who,
                                                            const std::string& tenant,
                                                            const std::string& text) {
  static constexpr char kField[] = "deployment.model_version";
  ASSIGN_OR_RETURN(VersionReference reference, VersionReference::Parse(kField, text));
  // Another tenant's version reads like an absent one.
  const absl::Status absent = InvalidField(kField, fmt::format("{} was not found", text));
  if (reference.tenant() != tenant) return absent;
  // The registry is asked as the caller: the tenant is the deployment's, also for the operator.
  Principal on_behalf = who;
  on_behalf.tenant = tenant;
  on_behalf.caller = ServiceId::kController;
  const absl::StatusOr<VersionName> version = catalog_.Ask(on_behalf, reference);
  if (absl::IsNotFound(version.status())) return absent;
  if (!version.ok()) return Annotate(version.status(), "the registry could not be asked");
  if (const auto details = catalog_.Details(*version)) {
    RETURN_IF_ERROR(CheckTorchScript(details->version, torchscript_digests_));
  }
  return reference;
}

absl::StatusOr<DeploymentView> Controller::Create(const Principal& who, std::string_view parent,
                                                  std::string_view deployment_id,
                                                  const DeploymentRequest& request,
                                                  std::string_view request_id) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", parent));
  if (!who.MayAccess(tenant.tenant)) return NotFound(parent);
  RETURN_IF_ERROR(CheckSlug("deployment_id", deployment_id));
  if (request_id.size() > kMaxRequestIdBytes) {
    return InvalidField("request_id", fmt::format("must be at most {} bytes, got {}",
                                                  kMaxRequestIdBytes, request_id.size()));
  }
  const DeploymentName name{tenant.tenant, std::string(deployment_id)};
  const std::string pool = request.pool.empty() ? kDefaultPool : request.pool;
  const int replicas = request.replicas == 0 ? 1 : request.replicas;
  RETURN_IF_ERROR(CheckPool(pool, replicas));
  const RuntimeSettings runtime = request.runtime.value_or(RuntimeSettings());
  RETURN_IF_ERROR(CheckRuntimeSettings(runtime, "deployment.runtime"));
  const RolloutPolicy rollout = request.rollout.value_or(RolloutPolicy());
  RETURN_IF_ERROR(rollout.Check("deployment.rollout"));

  ASSIGN_OR_RETURN(std::optional<Deployment> made, FindMade(name, request_id));
  if (made) return View(*made);
  ASSIGN_OR_RETURN(VersionReference reference,
                   CheckReference(who, tenant.tenant, request.model_version));
  {
    MutexLock writes(writes_);
    if (closed_tenants_.contains(tenant.tenant)) return NotFound(parent);
    // Another call may have come first while the registry was asked.
    ASSIGN_OR_RETURN(made, FindMade(name, request_id));
    if (made) return View(*made);
    const v1::RoutingPolicy routing = request.routing.value_or(v1::RoutingPolicy());
    RETURN_IF_ERROR(CheckRouting(name, routing));
    made = Deployment{.name = name,
                      .model_version = std::move(reference),
                      .pool = pool,
                      .replicas = replicas,
                      .rollout = rollout,
                      .create_time = clock_.Now(),
                      .update_time = clock_.Now(),
                      .request_id = std::string(request_id),
                      .runtime = runtime,
                      .routing = routing};
    RETURN_IF_ERROR(store_.Create(*made));
    MutexLock lock(mutex_);
    deployments_.emplace(name, *made);
  }
  Log(Severity::kInfo, "deployment_created",
      {{"deployment", name.ToString()}, {"model_version", made->model_version.ToString()}});
  wake_();
  return View(*made);
}

absl::StatusOr<std::optional<Deployment>> Controller::FindMade(const DeploymentName& name,
                                                               std::string_view request_id) const {
  MutexLock lock(mutex_);
  if (!request_id.empty()) {
    for (const auto& [known_name, known] : deployments_) {
      if (known_name.tenant != name.tenant || known.request_id != request_id) continue;
      if (known_name == name) return known;
      return InvalidField("request_id", fmt::format("was used to make {}", known_name.ToString()));
    }
  }
  const auto taken = deployments_.find(name);
  if (taken == deployments_.end()) return std::nullopt;
  return absl::AlreadyExistsError(
      fmt::format("{} {}", name.ToString(),
                  taken->second.deleting ? "is still being deleted" : "exists already"));
}

absl::StatusOr<Deployment> Controller::Find(const Principal& who,
                                            const DeploymentName& name) const {
  MutexLock lock(mutex_);
  const auto deployment = deployments_.find(name);
  if (deployment == deployments_.end() || !who.MayAccess(name.tenant)) {
    return NotFound(name.ToString());
  }
  return deployment->second;
}

absl::StatusOr<DeploymentView> Controller::Get(const Principal& who,
                                               const DeploymentName& name) const {
  ASSIGN_OR_RETURN(const Deployment deployment, Find(who, name));
  return View(deployment);
}

absl::StatusOr<DeploymentPage> Controller::List(const Principal& who, std::string_view parent,
                                                int page_size, std::string_view page_token) const {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", parent));
  if (!who.MayAccess(tenant.tenant)) return NotFound(parent);
  if (page_size < 0) return InvalidField("page_size", "must be >= 0");
  if (!page_token.empty() && !IsSlug(page_token)) {
    return InvalidField("page_token", "is none that a list has answered");
  }
  const size_t limit = page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
  std::vector<Deployment> found;
  {
    MutexLock lock(mutex_);
    // The token is the last id that was shown.
    auto next = deployments_.upper_bound({tenant.tenant, std::string(page_token)});
    for (; next != deployments_.end() && next->first.tenant == tenant.tenant; ++next) {
      if (found.size() > limit) break;
      found.push_back(next->second);
    }
  }
  DeploymentPage page;
  if (found.size() > limit) {
    found.resize(limit, found.front());
    page.next_page_token = found.back().name.id;
  }
  for (const Deployment& deployment : found) page.deployments.push_back(View(deployment));
  return page;
}

absl::StatusOr<DeploymentView> Controller::Update(const Principal& who, const DeploymentName& name,
                                                  const DeploymentRequest& request) {
  RETURN_IF_ERROR(Find(who, name).status());
  std::optional<VersionReference> reference;
  if (!request.model_version.empty()) {
    ASSIGN_OR_RETURN(reference, CheckReference(who, name.tenant, request.model_version));
  }
  std::optional<Deployment> updated;
  {
    MutexLock writes(writes_);
    ASSIGN_OR_RETURN(updated, Find(who, name));
    if (updated->deleting) {
      return absl::FailedPreconditionError(fmt::format("{} is being deleted", name.ToString()));
    }
    if (request.runtime &&
        request.runtime->SerializeAsString() != updated->runtime.SerializeAsString()) {
      return InvalidField("deployment.runtime",
                          "stays as it was made: make another deployment and move its callers");
    }
    if (request.rollout) {
      RETURN_IF_ERROR(request.rollout->Check("deployment.rollout"));
      updated->rollout = *request.rollout;
    }
    bool new_shadow = false;
    if (request.routing) {
      RETURN_IF_ERROR(CheckRouting(name, *request.routing));
      new_shadow = request.routing->shadow().SerializeAsString() !=
                   updated->routing.shadow().SerializeAsString();
      updated->routing = *request.routing;
    }
    if (reference) {
      updated->model_version = *std::move(reference);
      // Whoever names a version that was refused wants it tried again.
      if (updated->trial && updated->trial->phase == Trial::Phase::kRolledBack) {
        updated->trial.reset();
      }
    }
    if (!request.pool.empty()) updated->pool = request.pool;
    if (request.replicas != 0) updated->replicas = request.replicas;
    RETURN_IF_ERROR(CheckPool(updated->pool, updated->replicas));
    // Begins now: its owner never sees it as done before it was begun.
    updated->trial = Advance(updated->rollout, updated->trial, LookAt(*updated));
    updated->update_time = clock_.Now();
    ++updated->generation;
    RETURN_IF_ERROR(Save(*updated));
    if (new_shadow) {
      MutexLock lock(mutex_);
      shadows_.erase(name);
    }
  }
  Log(Severity::kInfo, "deployment_updated",
      {{"deployment", name.ToString()}, {"model_version", updated->model_version.ToString()}});
  wake_();
  return View(*updated);
}

absl::StatusOr<DeploymentView> Controller::SetLoaded(const Principal& who,
                                                     const DeploymentName& name, bool loaded) {
  std::optional<Deployment> changed;
  {
    MutexLock writes(writes_);
    ASSIGN_OR_RETURN(changed, Find(who, name));
    if (changed->deleting) {
      return absl::FailedPreconditionError(fmt::format("{} is being deleted", name.ToString()));
    }
    if (changed->unloaded == !loaded) return View(*changed);
    changed->unloaded = !loaded;
    changed->update_time = clock_.Now();
    ++changed->generation;
    RETURN_IF_ERROR(Save(*changed));
  }
  Log(Severity::kInfo, loaded ? "deployment_load_requested" : "deployment_unload_requested",
      {{"deployment", name.ToString()}});
  wake_();
  return View(*changed);
}

absl::Status Controller::Delete(const Principal& who, const DeploymentName& name) {
  {
    MutexLock writes(writes_);
    ASSIGN_OR_RETURN(Deployment deployment, Find(who, name));
    if (deployment.deleting) return absl::OkStatus();
    deployment.deleting = true;
    deployment.update_time = clock_.Now();
    ++deployment.generation;
    RETURN_IF_ERROR(Save(deployment));
  }
  Log(Severity::kInfo, "deployment_deletion_requested", {{"deployment", name.ToString()}});
  wake_();
  return absl::OkStatus();
}

absl::StatusOr<slipway::identity::v1::PurgeTenantResponse> Controller::PurgeTenant(
    const Principal& who, const TenantName& tenant, bool remove) {
  if (who.role != Role::kOperator) return NotFound(tenant.ToString());
  {
    MutexLock writes(writes_);
    closed_tenants_.insert(tenant.tenant);
  }
  std::vector<std::string> names;
  for (const Deployment& deployment : Snapshot()) {
    if (deployment.name.tenant != tenant.tenant) continue;
    names.push_back(deployment.name.ToString());
    if (!remove) continue;
    const absl::Status deleted = Delete(who, deployment.name);
    // It may have gone meanwhile.
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  }
  slipway::identity::v1::PurgeTenantResponse content;
  content.set_done(remove && names.empty());
  AddKind("deployments", std::move(names), content);
  return content;
}

absl::StatusOr<DeploymentView> Controller::Promote(const Principal& who,
                                                   const DeploymentName& name) {
  return ChangeTrial(who, name, [&](const std::optional<Trial>& trial) {
    return controller::Promote(trial, clock_.Now());
  });
}

absl::StatusOr<DeploymentView> Controller::RollBack(const Principal& who,
                                                    const DeploymentName& name,
                                                    std::string_view reason) {
  if (reason.size() > kMaxReasonBytes) {
    return InvalidField(
        "reason", fmt::format("must be at most {} bytes, got {}", kMaxReasonBytes, reason.size()));
  }
  return ChangeTrial(who, name, [&](const std::optional<Trial>& trial) {
    return controller::RollBack(trial, reason, clock_.Now());
  });
}

absl::StatusOr<DeploymentView> Controller::ChangeTrial(
    const Principal& who, const DeploymentName& name,
    absl::FunctionRef<absl::StatusOr<Trial>(const std::optional<Trial>&)> change) {
  std::optional<Deployment> changed;
  {
    MutexLock writes(writes_);
    ASSIGN_OR_RETURN(changed, Find(who, name));
    if (changed->deleting) {
      return absl::FailedPreconditionError(fmt::format("{} is being deleted", name.ToString()));
    }
    ASSIGN_OR_RETURN(Trial trial, change(changed->trial));
    if (changed->trial == trial) return View(*changed);
    changed->trial = std::move(trial);
    changed->update_time = clock_.Now();
    ++changed->generation;
    RETURN_IF_ERROR(Save(*changed));
  }
  Announce(*changed);
  wake_();
  return View(*changed);
}

absl::Status Controller::ReportTraffic(const Principal& who,
                                       const std::vector<TrafficReport>& reports,
                                       const std::vector<ShadowReport>& shadows) {
  if (!who.tenant.empty()) {
    return absl::FailedPreconditionError(
        "traffic is reported by the gateway itself, on no tenant's behalf");
  }
  MutexLock lock(mutex_);
  for (const TrafficReport& report : reports) {
    const auto deployment = deployments_.find(report.deployment);
    if (deployment == deployments_.end()) continue;
    const std::optional<Trial>& trial = deployment->second.trial;
    if (!trial || trial->phase != Trial::Phase::kRunning) continue;
    StepTraffic& step = traffic_[report.deployment];
    if (step.candidate != trial->candidate || step.since != trial->since) {
      step = {trial->candidate, trial->since, {}};
    }
    if (report.version == trial->candidate) step.traffic.candidate.Add(report.traffic);
    if (report.version == trial->stable) step.traffic.stable.Add(report.traffic);
  }
  for (const ShadowReport& report : shadows) {
    const auto deployment = deployments_.find(report.deployment);
    if (deployment == deployments_.end() || !deployment->second.routing.has_shadow()) continue;
    shadows_[report.deployment].Add(report.traffic);
  }
  return absl::OkStatus();
}

TrialTraffic Controller::TrafficOf(const Deployment& deployment) const {
  MutexLock lock(mutex_);
  const auto step = traffic_.find(deployment.name);
  if (step == traffic_.end() || !deployment.trial ||
      step->second.candidate != deployment.trial->candidate ||
      step->second.since != deployment.trial->since) {
    return {};
  }
  return step->second.traffic;
}

RolloutView Controller::LookAt(const Deployment& deployment) const {
  RolloutView view;
  view.resolved = catalog_.Find(deployment.model_version).version;
  view.serving = deployment.serving;
  view.now = clock_.Now();
  return view;
}

std::optional<Trial> Controller::AdvancedTrial(const Deployment& deployment) const {
  RolloutView view = LookAt(deployment);
  view.traffic = TrafficOf(deployment);
  if (const auto route = routes_.find(deployment.name); route != routes_.end()) {
    const auto& candidate = route->second.candidate;
    view.candidate_ready =
        candidate && deployment.trial && candidate->version == deployment.trial->candidate;
  }
  return Advance(deployment.rollout, deployment.trial, view);
}

void Controller::AdvanceRollouts() {
  for (const Deployment& seen : Snapshot()) {
    if (seen.deleting || seen.unloaded || AdvancedTrial(seen) == seen.trial) continue;
    MutexLock writes(writes_);
    // Its owner may have changed it by now.
    std::optional<Deployment> changed;
    {
      MutexLock lock(mutex_);
      const auto deployment = deployments_.find(seen.name);
      if (deployment == deployments_.end()) continue;
      changed = deployment->second;
    }
    changed->trial = AdvancedTrial(*changed);
    if (const absl::Status saved = Save(*changed); !saved.ok()) {
      // What was decided before holds until there is room again.
      Log(Severity::kWarning, "rollout_not_advanced",
          {{"deployment", seen.name.ToString()}, {"error", saved}});
      continue;
    }
    Announce(*changed);
  }
}

void Controller::Announce(const Deployment& deployment) const {
  if (!deployment.trial) return;
  const Trial& trial = *deployment.trial;
  const bool promoted = trial.phase == Trial::Phase::kPromoted;
  if (promoted || trial.phase == Trial::Phase::kRolledBack) {
    metrics_
        .Counter("rollouts_total", "Rollouts that have ended",
                 {{"outcome", promoted ? "promoted" : "rolled_back"}})
        .Increment();
  }
  static constexpr const char* kPhases[] = {"loading", "running", "promoted", "rolled_back"};
  Log(Severity::kInfo, "rollout_advanced",
      {{"deployment", deployment.name.ToString()},
       {"candidate", trial.candidate.ToString()},
       {"phase", kPhases[static_cast<int>(trial.phase)]},
       {"reason", trial.reason}});
}

absl::Status Controller::Save(const Deployment& deployment) {
  RETURN_IF_ERROR(store_.Update(deployment));
  MutexLock lock(mutex_);
  deployments_.insert_or_assign(deployment.name, deployment);
  return absl::OkStatus();
}

std::vector<Deployment> Controller::Snapshot() const {
  MutexLock lock(mutex_);
  std::vector<Deployment> deployments;
  deployments.reserve(deployments_.size());
  for (const auto& [name, deployment] : deployments_) deployments.push_back(deployment);
  return deployments;
}

DesiredDeployment Controller::ToDesired(const Deployment& deployment) const {
  DesiredDeployment desired;
  desired.name = deployment.name;
  desired.pool = deployment.pool;
  desired.replicas = deployment.replicas;
  desired.deleting = deployment.deleting;
  if (deployment.unloaded) {
    // It serves nothing and wants nothing.
    desired.unloaded = true;
    return desired;
  }
  // What the registry has not described yet cannot be loaded.
  const auto known = [&](const std::optional<VersionName>& version) {
    return version && catalog_.Details(*version) != nullptr ? version : std::nullopt;
  };
  VersionCatalog::Resolution resolution = catalog_.Find(deployment.model_version);
  const Aim aim = AimOf(deployment.rollout, deployment.trial, resolution.version,
                        deployment.serving, clock_.Now());
  desired.serving = known(deployment.serving);
  desired.wanted = known(aim.wanted);
  desired.candidate = known(aim.candidate);
  desired.percent = aim.percent;
  desired.kept = aim.kept;
  desired.unresolved = std::move(resolution.problem);
  if (const auto& trial = deployment.trial; trial && trial->phase == Trial::Phase::kRolledBack &&
                                            resolution.version == trial->candidate) {
    desired.refused =
        fmt::format("{} was rolled back: {}", trial->candidate.ToString(), trial->reason);
  }
  const auto pool = std::find_if(pools_.begin(), pools_.end(), [&](const PoolSize& known) {
    return known.name == deployment.pool;
  });
  if (pool == pools_.end()) {
    desired.unresolved = fmt::format("pool \"{}\" is not configured any more", deployment.pool);
    return desired;
  }
  for (const auto& version : {desired.serving, desired.wanted, desired.candidate}) {
    if (!version) continue;
    const auto details = catalog_.Details(*version);
    const bool alone = RunsAlone(details->version);
    if (alone) desired.alone.insert(*version);
    if (alone || (!pool->shares_uploaded && !IsVouchedFor(details->version))) {
      desired.isolated.insert(*version);
    }
  }
  if (!desired.isolated.empty() && pool->isolated == 0) {
    desired.unresolved =
        fmt::format("pool \"{}\" does not load {}", deployment.pool,
                    desired.alone.empty() ? "models that tenants uploaded" : "TorchScript");
  }
  return desired;
}

DeploymentView Controller::View(const Deployment& deployment) const {
  const DesiredDeployment desired = ToDesired(deployment);
  const TrialTraffic traffic = TrafficOf(deployment);
  MutexLock lock(mutex_);
  const auto shadow = shadows_.find(deployment.name);
  return {deployment, Summarize(desired, observed_), traffic,
          shadow == shadows_.end() ? ShadowTraffic() : shadow->second};
}

bool Controller::Resolve() { return catalog_.Refresh(Snapshot()); }

bool Controller::Step() {
  MutexLock step(step_);
  AdvanceRollouts();
  Observed observed;
  observed.workers = fleet_.Observe(routes_);
  observed.routes = routes_;
  Desired desired;
  desired.pools = pools_;
  desired.patience = patience_;
  for (const Deployment& deployment : Snapshot()) {
    desired.deployments.push_back(ToDesired(deployment));
  }
  const std::vector<Action> actions = Reconcile(desired, observed);
  std::set<std::string> failing;
  for (const Action& action : actions) {
    if (!Act(action)) failing.insert(ToString(action));
  }
  failing_ = std::move(failing);
  // What became ready is on trial from now on: who is told so may promote it.
  if (!actions.empty()) AdvanceRollouts();
  const bool settled = actions.empty() && Settled(desired, observed);
  observed.routes = routes_;
  Measure(desired, observed);
  {
    MutexLock lock(mutex_);
    observed_ = observed;
  }
  // Last, so that whoever sees the new routes sees the state that belongs to them.
  PublishRoutes(observed);
  return settled;
}

void Controller::Measure(const Desired& desired, const Observed& observed) const {
  using WorkerState = ObservedWorker::State;
  static constexpr std::pair<WorkerState, const char*> kWorkerStates[] = {
      {WorkerState::kDown, "down"}, {WorkerState::kStarting, "starting"}, {WorkerState::kUp, "up"}};
  using State = DeploymentSummary::State;
  static constexpr std::pair<State, const char*> kStates[] = {{State::kPending, "pending"},
                                                              {State::kLoading, "loading"},
                                                              {State::kReady, "ready"},
                                                              {State::kFailed, "failed"},
                                                              {State::kDeleting, "deleting"},
                                                              {State::kRollingOut, "rolling_out"},
                                                              {State::kRolledBack, "rolled_back"},
                                                              {State::kUnloaded, "unloaded"}};
  for (const PoolSize& pool : desired.pools) {
    for (const auto& [state, name] : kWorkerStates) {
      const auto count = std::count_if(
          observed.workers.begin(), observed.workers.end(), [&, state = state](const auto& worker) {
            return worker.first.pool == pool.name && worker.second.state == state;
          });
      metrics_.Gauge("workers", "Workers by state", {{"pool", pool.name}, {"state", name}})
          .Set(static_cast<double>(count));
    }
  }
  std::map<State, int> deployments;
  for (const DesiredDeployment& deployment : desired.deployments) {
    ++deployments[Summarize(deployment, observed).state];
  }
  for (const auto& [state, name] : kStates) {
    metrics_.Gauge("deployments", "Deployments by state", {{"state", name}})
        .Set(deployments[state]);
  }
}

bool Controller::Settled(const Desired& desired, const Observed& observed) const {
  // A model that is ready, in no route and not kept waits to be routed or to be unloaded.
  const auto at_rest = [&](const WorkerId& id, const ModelKey& key) {
    const auto route = observed.routes.find(key.deployment);
    if (route != observed.routes.end() && Routes(route->second, id, key.version)) return true;
    return std::any_of(desired.deployments.begin(), desired.deployments.end(), [&](const auto& d) {
      return d.name == key.deployment && d.kept == key.version;
    });
  };
  // An isolated worker that is down is not needed, or waits to be started again; of the others one
  // rests where the pool has a spare.
  for (const PoolSize& pool : desired.pools) {
    const auto down =
        std::count_if(observed.workers.begin(), observed.workers.end(), [&](const auto& worker) {
          const WorkerId& id = worker.first;
          const bool isolated = id.index >= pool.workers && id.index < pool.workers + pool.isolated;
          return id.pool == pool.name && !isolated &&
                 worker.second.state == ObservedWorker::State::kDown;
        });
    if (down > (pool.spare ? 1 : 0)) return false;
  }
  for (const auto& [id, worker] : observed.workers) {
    using WorkerState = ObservedWorker::State;
    if (worker.state == WorkerState::kStarting) return false;
    for (const auto& [key, model] : worker.models) {
      using State = ObservedModel::State;
      if (model.state == State::kLoading || model.state == State::kUnloading) return false;
      if (model.state == State::kReady && !at_rest(id, key)) return false;
    }
  }
  return std::none_of(desired.deployments.begin(), desired.deployments.end(),
                      [](const DesiredDeployment& d) { return d.deleting; });
}

bool Controller::Act(const Action& action) {
  const absl::Status status =
      std::visit([this](const auto& a) REQUIRES(step_) { return Do(a); }, action);
  const std::string text = ToString(action);
  metrics_
      .Counter(
          "actions_total", "What the controller has done",
          {{"action", std::string(KindOf(action))}, {"outcome", status.ok() ? "ok" : "failed"}})
      .Increment();
  if (status.ok()) {
    Log(Severity::kInfo, "action_taken", {{"action", text}});
  } else if (!failing_.contains(text)) {
    // Said once, not each time that it is tried again.
    Log(Severity::kWarning, "action_failed", {{"action", text}, {"error", status}});
  }
  return status.ok();
}

absl::Status Controller::Do(const StartWorker& action) {
  fleet_.Start(action.worker, action.owner);
  return absl::OkStatus();
}

absl::Status Controller::Do(const StopWorker& action) {
  fleet_.Stop(action.worker, action.reason);
  return absl::OkStatus();
}

absl::Status Controller::Do(const RetireWorker& action) {
  fleet_.Retire(action.worker);
  return absl::OkStatus();
}

absl::Status Controller::Do(const LoadModel& action) {
  const auto version = catalog_.Details(action.model.version);
  if (version == nullptr) {
    return absl::UnavailableError("the registry has not said yet what the version is");
  }
  RuntimeSettings runtime;
  {
    MutexLock lock(mutex_);
    const auto deployment = deployments_.find(action.model.deployment);
    if (deployment == deployments_.end()) return absl::OkStatus();
    runtime = deployment->second.runtime;
  }
  return fleet_.Load(action.worker, action.model, *version, runtime);
}

absl::Status Controller::Do(const UnloadModel& action) {
  return fleet_.Unload(action.worker, action.model);
}

absl::Status Controller::Do(const SetRoute& action) {
  if (action.route.version) {
    MutexLock writes(writes_);
    std::optional<Deployment> changed;
    {
      MutexLock lock(mutex_);
      const auto deployment = deployments_.find(action.deployment);
      if (deployment == deployments_.end()) return absl::OkStatus();
      if (deployment->second.serving != action.route.version) {
        changed = deployment->second;
        changed->serving = action.route.version;
      }
    }
    if (changed) RETURN_IF_ERROR(Save(*changed));
  }
  routes_[action.deployment] = action.route;
  return absl::OkStatus();
}

absl::Status Controller::Do(const RemoveRoute& action) {
  routes_.erase(action.deployment);
  return absl::OkStatus();
}

absl::Status Controller::Do(const ForgetDeployment& action) {
  MutexLock writes(writes_);
  RETURN_IF_ERROR(store_.Remove(action.deployment));
  MutexLock lock(mutex_);
  deployments_.erase(action.deployment);
  traffic_.erase(action.deployment);
  shadows_.erase(action.deployment);
  return absl::OkStatus();
}

void Controller::PublishRoutes(const Observed& observed) {
  v1::RouteTable table;
  for (const auto& [deployment, route] : routes_) {
    v1::Route& entry = *table.add_routes();
    entry.set_deployment(deployment.ToString());
    {
      MutexLock lock(mutex_);
      const auto known = deployments_.find(deployment);
      if (known != deployments_.end()) *entry.mutable_routing() = known->second.routing;
    }
    const auto add = [&](const VersionName& name, int weight, const std::set<WorkerId>& workers)
                         REQUIRES(step_) {
                           v1::Route::Target& target = *entry.add_targets();
                           target.set_model_version(name.ToString());
                           target.set_weight(weight);
                           for (const WorkerId& id : workers)
                             target.add_workers(fleet_.AddressOf(id));
                           if (const auto version = catalog_.Details(name)) {
                             *target.mutable_signature() = version->version.signature();
                             *target.mutable_labels() = version->version.labels();
                           }
                           // Who registered the version need not have said what it takes; whoever
                           // has loaded it knows.
                           if (const auto* facts = FindFacts(observed, {deployment, name})) {
                             *target.mutable_signature() = facts->signature();
                           }
                         };
    const int percent = route.candidate ? route.candidate->percent : 0;
    if (route.version) add(*route.version, 100 - percent, route.workers);
    if (route.candidate) add(route.candidate->version, percent, route.candidate->workers);
  }
  board_.Publish(std::move(table));
}

}  // namespace slipway::controller
