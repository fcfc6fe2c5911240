#include "services/controller/reconcile.h"

#include <algorithm>
#include <tuple>

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::controller {
namespace {

using ModelState = ObservedModel::State;
using WorkerState = ObservedWorker::State;

// first, twice first, four times first, ... never over last.
absl::Duration Backoff(absl::Duration first, absl::Duration last, int failures) {
  absl::Duration wait = first;
  for (int i = 1; i < failures && wait < last; ++i) wait *= 2;
  return std::min(wait, last);
}

// Of the workers that may load the version; empty: those that are no isolated ones.
std::string OwnerFor(const DesiredDeployment& deployment, const VersionName& version) {
  if (!deployment.isolated.contains(version)) return "";
  return deployment.alone.contains(version) ? version.ToString()
                                            : "tenants/" + deployment.name.tenant;
}

// One pass of Reconcile over one snapshot.
class Pass {
 public:
  Pass(const Desired& desired, const Observed& observed) : desired_(desired), observed_(observed) {}

  std::vector<Action> Run() {
    for (const PoolSize& pool : desired_.pools) KeepShared(pool);
    for (const DesiredDeployment& deployment : desired_.deployments) Serve(deployment);
    for (const PoolSize& pool : desired_.pools) {
      for (int i = 0; i < pool.isolated; ++i) KeepWhileClaimed({pool.name, pool.workers + i});
    }
    UnloadTheRest();
    for (const DesiredDeployment& deployment : desired_.deployments) Forget(deployment);
    return std::move(actions_);
  }

 private:
  // Of a pool's workers for everybody as many run as it is to have, and one more while one of them
  // is replaced.
  void KeepShared(const PoolSize& pool) {
    std::vector<WorkerId>& shared = shared_[pool.name];
    for (int index = 0; index < pool.workers; ++index) shared.push_back({pool.name, index});
    if (!pool.launched) return;
    if (pool.spare) {
      shared.push_back({pool.name, pool.workers + pool.isolated});
      ChooseShared(static_cast<size_t>(pool.workers), shared);
    }
    for (const WorkerId& id : shared) KeepRunning(id, "");
    std::erase_if(shared, [this](const WorkerId& id) { return leaving_.contains(id); });
  }

  // Leaves those that are to run; notes which of them is to go, now that there are enough others.
  void ChooseShared(size_t wanted, std::vector<WorkerId>& shared) {
    for (const WorkerId& id : shared) {
      if (Ending(id)) KeepRunning(id, "");  // unless it hangs
    }
    std::erase_if(shared, [this](const WorkerId& id) { return Ending(id); });
    std::stable_partition(shared.begin(), shared.end(),
                          [this](const auto& id) { return !Down(id); });
    const auto begin = shared.begin();
    const auto running =
        std::find_if(begin, shared.end(), [this](const auto& id) { return Down(id); });
    const auto worn = std::find_if(begin, running, [this](const auto& id) { return Worn(id); });
    const size_t needed = wanted + (worn != running ? 1 : 0);
    shared.resize(std::min(shared.size(), std::max(needed, static_cast<size_t>(running - begin))));
    std::vector<WorkerId> up;
    for (const WorkerId& id : shared) {
      if (InReach(id)) up.push_back(id);
    }
    if (up.size() <= wanted) return;
    const auto worn_for = [this](const WorkerId& id) {
      return Worn(id) ? *Find(id)->fragmented_for : -absl::InfiniteDuration();
    };
    const auto oldest = std::max_element(up.begin(), up.end(), [&](const auto& a, const auto& b) {
      return worn_for(a) < worn_for(b);
    });
    const WorkerId& goes = Worn(*oldest) ? *oldest : up.back();
    leaving_.insert(goes);
    if (Find(goes)->models.empty()) actions_.push_back(RetireWorker{goes});
  }

  void KeepRunning(const WorkerId& id, const std::string& owner) {
    const ObservedWorker* worker = Find(id);
    if (worker == nullptr || worker->state == WorkerState::kDown) {
      // Starts that failed for another owner say nothing.
      const int failed = worker == nullptr || worker->owner != owner ? 0 : worker->failed_starts;
      const Patience& patience = desired_.patience;
      if (failed == 0 ||
          worker->down_for >= Backoff(patience.first_restart, patience.last_restart, failed)) {
        actions_.push_back(StartWorker{id, owner});
      }
    } else if (worker->silent_for >= desired_.patience.hang) {
      actions_.push_back(StopWorker{id, fmt::format("it has not answered for {} s",
                                                    absl::ToInt64Seconds(worker->silent_for))});
    }
  }

  void KeepWhileClaimed(const WorkerId& id) {
    const ObservedWorker* worker = Find(id);
    if (const auto claim = claims_.find(id); claim != claims_.end()) {
      KeepRunning(id, claim->second);
    } else if (worker == nullptr || worker->state == WorkerState::kDown) {
      return;
    } else if (worker->ending) {
      KeepRunning(id, worker->owner);  // unless it hangs
    } else if (worker->models.empty()) {
      actions_.push_back(RetireWorker{id});
    }
  }

  void Serve(const DesiredDeployment& deployment) {
    if (deployment.deleting) {
      if (observed_.routes.contains(deployment.name)) {
        actions_.push_back(RemoveRoute{deployment.name});
      }
      return;
    }
    if (!deployment.wanted && !deployment.unloaded) undecided_.insert(deployment.name);
    std::vector<WorkerId> for_wanted;
    std::vector<WorkerId> for_old;
    ObservedRoute wanted;
    ObservedRoute old;
    bool complete = false;
    if (deployment.wanted) {
      for_wanted = Choose(deployment, *deployment.wanted);
      wanted = {deployment.wanted, Ready(deployment, *deployment.wanted, for_wanted)};
      complete = !for_wanted.empty() && wanted.workers.size() == for_wanted.size();
      if (!complete) AddReplaced(deployment, wanted);
    }
    if (deployment.serving && deployment.serving != deployment.wanted && !complete) {
      for_old = Choose(deployment, *deployment.serving);
      old = {deployment.serving, Ready(deployment, *deployment.serving, for_old)};
      if (old.workers.size() < for_old.size()) AddReplaced(deployment, old);
    }
    ObservedRoute route = PickRoute(wanted, complete, old);
    std::vector<WorkerId> for_candidate;
    // A candidate that still serves is first replaced by what is wanted.
    if (deployment.candidate && deployment.candidate != deployment.serving) {
      for_candidate = Choose(deployment, *deployment.candidate);
      std::set<WorkerId> ready = Ready(deployment, *deployment.candidate, for_candidate);
      if (!ready.empty() && ready.size() == for_candidate.size()) {
        route.candidate = {*deployment.candidate, deployment.percent, std::move(ready)};
      }
    }
    Publish(deployment, route);
    if (deployment.wanted) Load(deployment, *deployment.wanted, for_wanted);
    if (deployment.serving) Load(deployment, *deployment.serving, for_old);
    if (!for_candidate.empty()) Load(deployment, *deployment.candidate, for_candidate);
    if (deployment.kept) Keep({deployment.name, *deployment.kept});
  }

  // Workers that are being replaced serve until all those can that take over.
  void AddReplaced(const DesiredDeployment& deployment, ObservedRoute& route) const {
    for (const auto& [id, worker] : observed_.workers) {
      const ModelKey key{deployment.name, *route.version};
      if ((!leaving_.contains(id) && !Worn(id)) || !InReach(id) || !Routed(id, key)) continue;
      const ObservedModel* const model = Find(id, key);
      if (model != nullptr && model->state == ModelState::kReady) route.workers.insert(id);
    }
  }

  void Keep(const ModelKey& key) {
    for (const auto& [id, worker] : observed_.workers) {
      if (worker.models.contains(key) && !leaving_.contains(id)) needed_.emplace(id, key);
    }
  }

  // The wanted version once it is ready everywhere; until then what served before; a part of the
  // wanted version rather than nothing.
  static ObservedRoute PickRoute(const ObservedRoute& wanted, bool complete,
                                 const ObservedRoute& old) {
    if (complete || old.workers.empty()) return wanted.workers.empty() ? ObservedRoute{} : wanted;
    return old;
  }

  void Publish(const DesiredDeployment& deployment, const ObservedRoute& route) {
    const auto published = observed_.routes.find(deployment.name);
    if (published != observed_.routes.end() && published->second == route) return;
    actions_.push_back(SetRoute{deployment.name, route});
  }

  // The workers that should have `version`: those in reach first, among them those that have it.
  // Of isolated ones, first those that are the owner's already, unless they are to be replaced.
  std::vector<WorkerId> Choose(const DesiredDeployment& deployment, const VersionName& version) {
    const ModelKey key{deployment.name, version};
    const auto pool = std::find_if(desired_.pools.begin(), desired_.pools.end(),
                                   [&](const PoolSize& p) { return p.name == deployment.pool; });
    if (pool == desired_.pools.end()) return {};
    const bool isolated = deployment.isolated.contains(version);
    const std::string wanted_owner = OwnerFor(deployment, version);
    std::vector<WorkerId> candidates = shared_.at(pool->name);
    if (isolated) {
      candidates.clear();
      for (int i = 0; i < pool->isolated; ++i)
        candidates.push_back({pool->name, pool->workers + i});
    }
    std::vector<std::tuple<bool, bool, int, int, int, WorkerId>> ranked;
    for (WorkerId& id : candidates) {
      const std::optional<std::string> owner = isolated ? OwnerOf(id) : std::nullopt;
      if (owner && (*owner != wanted_owner || Ending(id))) continue;
      const auto load = assigned_.find(id);
      ranked.emplace_back(isolated && Worn(id), !owner, Reach(id), Progress(id, key),
                          load == assigned_.end() ? 0 : load->second, std::move(id));
    }
    std::sort(ranked.begin(), ranked.end());
    ranked.resize(std::min(ranked.size(), static_cast<size_t>(std::max(1, deployment.replicas))));
    std::vector<WorkerId> chosen;
    for (auto& [worn, strange, reach, progress, load, id] : ranked) {
      ++assigned_[id];
      needed_.emplace(id, key);
      if (isolated) claims_[id] = wanted_owner;
      chosen.push_back(std::move(id));
    }
    return chosen;
  }

  bool Down(const WorkerId& id) const {
    const ObservedWorker* worker = Find(id);
    return worker == nullptr || worker->state == WorkerState::kDown;
  }

  bool Worn(const WorkerId& id) const {
    const ObservedWorker* worker = Find(id);
    return worker != nullptr && worker->fragmented_for &&
           *worker->fragmented_for >= desired_.patience.fragmented;
  }

  bool Ending(const WorkerId& id) const {
    const ObservedWorker* worker = Find(id);
    return worker != nullptr && worker->ending;
  }

  // Whom an isolated worker is for; nothing where it is free.
  std::optional<std::string> OwnerOf(const WorkerId& id) const {
    if (const auto claim = claims_.find(id); claim != claims_.end()) return claim->second;
    const ObservedWorker* worker = Find(id);
    if (worker == nullptr || worker->state == WorkerState::kDown) return std::nullopt;
    return worker->owner;
  }

  std::set<WorkerId> Ready(const DesiredDeployment& deployment, const VersionName& version,
                           const std::vector<WorkerId>& chosen) const {
    std::set<WorkerId> ready;
    for (const WorkerId& id : chosen) {
      if (!InReach(id)) continue;
      const ObservedModel* model = Find(id, {deployment.name, version});
      if (model != nullptr && model->state == ModelState::kReady) ready.insert(id);
    }
    return ready;
  }

  void Load(const DesiredDeployment& deployment, const VersionName& version,
            const std::vector<WorkerId>& chosen) {
    const Patience& patience = desired_.patience;
    for (const WorkerId& id : chosen) {
      if (!InReach(id)) continue;
      const ModelKey key{deployment.name, version};
      const ObservedModel* model = Find(id, key);
      if (model == nullptr ||
          (model->state == ModelState::kFailed &&
           model->failed_for >=
               Backoff(patience.first_reload, patience.last_reload, model->failures))) {
        actions_.push_back(LoadModel{id, key});
      }
    }
  }

  void UnloadTheRest() {
    for (const auto& [id, worker] : observed_.workers) {
      if (!InReach(id)) continue;
      for (const auto& [key, model] : worker.models) {
        if (needed_.contains({id, key}) || model.state == ModelState::kUnloading) continue;
        if (Routed(id, key) || model.unrouted_for < desired_.patience.drain) continue;
        if (undecided_.contains(key.deployment)) continue;
        actions_.push_back(UnloadModel{id, key});
      }
    }
  }

  void Forget(const DesiredDeployment& deployment) {
    if (!deployment.deleting || observed_.routes.contains(deployment.name)) return;
    for (const auto& [id, worker] : observed_.workers) {
      if (worker.state == WorkerState::kDown) continue;
      for (const auto& [key, model] : worker.models) {
        if (key.deployment == deployment.name) return;
      }
    }
    actions_.push_back(ForgetDeployment{deployment.name});
  }

  const ObservedWorker* Find(const WorkerId& id) const {
    const auto worker = observed_.workers.find(id);
    return worker == observed_.workers.end() ? nullptr : &worker->second;
  }

  const ObservedModel* Find(const WorkerId& id, const ModelKey& key) const {
    const ObservedWorker* worker = Find(id);
    if (worker == nullptr) return nullptr;
    const auto model = worker->models.find(key);
    return model == worker->models.end() ? nullptr : &model->second;
  }

  bool InReach(const WorkerId& id) const { return Reach(id) == 0; }

  // 0: it answers; 1: it may soon; 2: it is down.
  int Reach(const WorkerId& id) const {
    const ObservedWorker* worker = Find(id);
    if (worker == nullptr || worker->state == WorkerState::kDown) return 2;
    const bool answers =
        worker->state == WorkerState::kUp && worker->silent_for < desired_.patience.silence;
    return answers ? 0 : 1;
  }

  // 0: it serves the model; 1: it is ready; 2: it tries; 3: it has nothing of it.
  int Progress(const WorkerId& id, const ModelKey& key) const {
    const ObservedModel* model = Find(id, key);
    if (model == nullptr || model->state == ModelState::kUnloading) return 3;
    if (model->state != ModelState::kReady) return 2;
    return Routed(id, key) ? 0 : 1;
  }

  bool Routed(const WorkerId& id, const ModelKey& key) const {
    const auto route = observed_.routes.find(key.deployment);
    return route != observed_.routes.end() && Routes(route->second, id, key.version);
  }

  const Desired& desired_;
  const Observed& observed_;
  std::vector<Action> actions_;
  std::set<std::pair<WorkerId, ModelKey>> needed_;
  // Those of whose versions the registry has not said anything yet.
  std::set<DeploymentName> undecided_;
  std::map<WorkerId, int> assigned_;
  // Those for everybody that take models, by pool; and those that give theirs up.
  std::map<std::string, std::vector<WorkerId>> shared_;
  std::set<WorkerId> leaving_;
  // Isolated workers and their owners.
  std::map<WorkerId, std::string> claims_;
};

std::string TargetText(const VersionName& version, const std::set<WorkerId>& workers) {
  std::vector<std::string> texts;
  for (const WorkerId& id : workers) texts.push_back(id.ToString());
  return fmt::format("{} on {}", version.ToString(), fmt::join(texts, ", "));
}

std::string RouteText(const ObservedRoute& route) {
  std::string text = route.version ? TargetText(*route.version, route.workers) : "nothing";
  if (const auto& candidate = route.candidate) {
    text += fmt::format(", {}% to {}", candidate->percent,
                        TargetText(candidate->version, candidate->workers));
  }
  return text;
}

struct Texts {
  std::string operator()(const StartWorker& a) {
    return "start " + a.worker.ToString() + (a.owner.empty() ? "" : " for " + a.owner);
  }
  std::string operator()(const StopWorker& a) {
    return fmt::format("stop {}: {}", a.worker.ToString(), a.reason);
  }
  std::string operator()(const RetireWorker& a) { return "retire " + a.worker.ToString(); }
  std::string operator()(const LoadModel& a) {
    return fmt::format("load {} of {} on {}", a.model.version.ToString(),
                       a.model.deployment.ToString(), a.worker.ToString());
  }
  std::string operator()(const UnloadModel& a) {
    return fmt::format("unload {} of {} from {}", a.model.version.ToString(),
                       a.model.deployment.ToString(), a.worker.ToString());
  }
  std::string operator()(const SetRoute& a) {
    return fmt::format("route {} to {}", a.deployment.ToString(), RouteText(a.route));
  }
  std::string operator()(const RemoveRoute& a) { return "unroute " + a.deployment.ToString(); }
  std::string operator()(const ForgetDeployment& a) { return "forget " + a.deployment.ToString(); }
};

}  // namespace

std::string ToString(const Action& action) { return std::visit(Texts{}, action); }

std::string KindOf(const Action& action) {
  const std::string text = ToString(action);
  return text.substr(0, text.find(' '));
}

bool Routes(const ObservedRoute& route, const WorkerId& worker, const VersionName& version) {
  if (route.version == version && route.workers.contains(worker)) return true;
  return route.candidate && route.candidate->version == version &&
         route.candidate->workers.contains(worker);
}

std::vector<Action> Reconcile(const Desired& desired, const Observed& observed) {
  return Pass(desired, observed).Run();
}

const slipway::worker::v1::ModelFacts* FindFacts(const Observed& observed, const ModelKey& model) {
  for (const auto& [id, worker] : observed.workers) {
    const auto found = worker.models.find(model);
    if (found == worker.models.end() || found->second.state != ModelState::kReady) continue;
    // An older worker says nothing.
    if (!found->second.facts.platform().empty()) return &found->second.facts;
  }
  return nullptr;
}

DeploymentSummary Summarize(const DesiredDeployment& deployment, const Observed& observed) {
  using State = DeploymentSummary::State;
  DeploymentSummary summary;
  summary.error = deployment.unresolved;
  bool candidate_routed = false;
  if (const auto route = observed.routes.find(deployment.name); route != observed.routes.end()) {
    summary.serving = route->second.version;
    summary.ready_replicas = static_cast<int>(route->second.workers.size());
    if (summary.serving) {
      const auto* facts = FindFacts(observed, {deployment.name, *summary.serving});
      if (facts != nullptr) summary.facts = *facts;
    }
    if (const auto& candidate = route->second.candidate) {
      candidate_routed = candidate->version == deployment.candidate;
      summary.candidate_percent = candidate->percent;
    }
  }
  if (deployment.deleting) {
    summary.state = State::kDeleting;
    return summary;
  }
  if (deployment.unloaded) {
    summary.state = State::kUnloaded;
    return summary;
  }
  if (!deployment.wanted) return summary;
  // What is still to come: the candidate, once the wanted version serves.
  std::optional<VersionName> awaited = deployment.wanted;
  if (summary.serving == deployment.wanted) {
    if (!deployment.candidate) {
      summary.state = deployment.refused.empty() ? State::kReady : State::kRolledBack;
      if (summary.error.empty()) summary.error = deployment.refused;
      return summary;
    }
    if (candidate_routed) {
      summary.state = State::kRollingOut;
      return summary;
    }
    awaited = deployment.candidate;
  }
  const std::string owner = OwnerFor(deployment, *awaited);
  bool any = false;
  for (const auto& [id, worker] : observed.workers) {
    if (id.pool != deployment.pool) continue;
    if (worker.owner != owner) continue;
    any = true;
    const bool down = worker.state == WorkerState::kDown;
    if (summary.error.empty() && !worker.down_reason.empty()) {
      summary.error = fmt::format("worker {} {} down: {}", id.ToString(), down ? "is" : "was",
                                  worker.down_reason);
    } else if (summary.error.empty() && !worker.waits_for.empty()) {
      summary.error =
          fmt::format("worker {} is being started: {}", id.ToString(), worker.waits_for);
    }
    if (down) continue;
    const auto model = worker.models.find({deployment.name, *awaited});
    if (model == worker.models.end() || model->second.state == ModelState::kUnloading) continue;
    if (model->second.failures > 0 && model->second.state != ModelState::kReady) {
      summary.state = State::kFailed;
      summary.error =
          fmt::format("{} could not be loaded: {}", awaited->ToString(), model->second.error);
      return summary;
    }
    summary.state = State::kLoading;
  }
  if (!owner.empty() && !any && summary.error.empty()) {
    summary.error = fmt::format("{} waits for an isolated worker, which no other tenant uses",
                                awaited->ToString());
  }
  return summary;
}

}  // namespace slipway::controller
