#include "services/controller/fleet.h"

#include <algorithm>

namespace slipway::controller {

using ModelState = ObservedModel::State;
using WorkerState = ObservedWorker::State;

std::map<WorkerId, ObservedWorker> Fleet::Observe(
    const std::map<DeploymentName, ObservedRoute>& routes) {
  LookAtProcesses(clock_.Monotonic());
  AskWorkers();
  const absl::Duration now = clock_.Monotonic();
  const auto note = [&](const DeploymentName& deployment, const VersionName& version,
                        const std::set<WorkerId>& on) {
    for (const WorkerId& id : on) {
      if (const auto worker = workers_.find(id); worker != workers_.end()) {
        worker->second.models[{deployment, version}].routed_at = now;
      }
    }
  };
  for (const auto& [deployment, route] : routes) {
    if (route.version) note(deployment, *route.version, route.workers);
    if (route.candidate) note(deployment, route.candidate->version, route.candidate->workers);
  }
  std::map<WorkerId, ObservedWorker> observed;
  for (auto& [id, worker] : workers_) {
    NoteFailures(worker, now);
    observed.emplace(id, Describe(worker, now));
  }
  return observed;
}

void Fleet::LookAtProcesses(absl::Duration now) {
  for (const WorkerPool* pool : pools_) {
    for (WorkerProcess& process : pool->Workers()) {
      WorkerMemory& memory = workers_[process.id];
      const bool same = memory.process.running && process.running &&
                        memory.process.incarnation == process.incarnation;
      if (!same) {
        memory = WorkerMemory{};
        memory.heard_at = now - process.since;
      }
      if (!process.waits_for.empty()) memory.heard_at = now;
      memory.process = std::move(process);
    }
  }
}

void Fleet::AskWorkers() {
  std::vector<WorkerMemory*> asked;
  std::vector<std::string> addresses;
  for (auto& [id, worker] : workers_) {
    if (!worker.process.running) continue;
    asked.push_back(&worker);
    addresses.push_back(worker.process.address);
  }
  if (asked.empty()) return;
  std::vector<absl::StatusOr<WorkerReport>> answers =
      client_.List(addresses, options_.list_timeout);
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!answers[i].ok()) continue;
    asked[i]->answered = true;
    asked[i]->heard_at = clock_.Monotonic();
    asked[i]->reported = std::move(answers[i]->models);
    const double most = options_.fragmented_above;
    if (most == 0 || answers[i]->memory_ratio <= most) {
      asked[i]->fragmented_at.reset();
    } else if (!asked[i]->fragmented_at) {
      asked[i]->fragmented_at = asked[i]->heard_at;
    }
  }
}

void Fleet::NoteFailures(WorkerMemory& worker, absl::Duration now) {
  for (const ReportedModel& report : worker.reported) {
    ModelMemory& memory = worker.models[report.key];
    if (report.state == ModelState::kFailed && (memory.pending || memory.failures == 0)) {
      ++memory.failures;
      memory.error = report.error;
      memory.failed_at = now;
    }
    if (report.state != ModelState::kLoading) memory.pending = false;
    if (report.state == ModelState::kReady) memory.failures = 0;
  }
  std::erase_if(worker.models, [&](const auto& entry) {
    const auto& [key, memory] = entry;
    return !memory.pending && !memory.refused &&
           std::none_of(worker.reported.begin(), worker.reported.end(),
                        [&key = key](const ReportedModel& report) { return report.key == key; });
  });
}

ObservedWorker Fleet::Describe(const WorkerMemory& memory, absl::Duration now) {
  ObservedWorker worker;
  worker.owner = memory.process.owner;
  worker.ending = memory.process.ending;
  worker.down_reason = memory.process.down_reason;
  worker.waits_for = memory.process.waits_for;
  if (!memory.process.running) {
    worker.failed_starts = memory.process.failed_starts;
    worker.down_for = memory.process.since;
    return worker;
  }
  worker.state = memory.answered ? WorkerState::kUp : WorkerState::kStarting;
  worker.silent_for = now - memory.heard_at;
  if (memory.fragmented_at) worker.fragmented_for = now - *memory.fragmented_at;
  const auto add = [&](const ModelKey& key, ModelState state) {
    ObservedModel& model = worker.models[key];
    model.state = state;
    const auto known = memory.models.find(key);
    if (known == memory.models.end()) return;
    model.error = known->second.error;
    model.failures = known->second.failures;
    model.failed_for = now - known->second.failed_at;
    if (known->second.routed_at) model.unrouted_for = now - *known->second.routed_at;
  };
  for (const auto& [key, model] : memory.models) {
    if (model.refused) add(key, ModelState::kFailed);
  }
  for (const ReportedModel& report : memory.reported) {
    add(report.key, report.state);
    worker.models[report.key].facts = report.facts;
  }
  return worker;
}

std::string Fleet::AddressOf(const WorkerId& id) const {
  const auto worker = workers_.find(id);
  return worker == workers_.end() ? "" : worker->second.process.address;
}

void Fleet::Start(const WorkerId& id, const std::string& owner) {
  if (WorkerPool* pool = FindPool(id.pool)) pool->Start(id.index, owner);
}

void Fleet::Stop(const WorkerId& id, const std::string& reason) {
  if (WorkerPool* pool = FindPool(id.pool)) pool->Stop(id.index, reason);
}

void Fleet::Retire(const WorkerId& id) {
  if (WorkerPool* pool = FindPool(id.pool)) pool->Retire(id.index);
}

absl::Status Fleet::Load(const WorkerId& id, const ModelKey& model, const VersionDetails& version,
                         const slipway::worker::v1::RuntimeSettings& runtime) {
  const absl::Status status = client_.Load(AddressOf(id), model, version, runtime);
  ModelMemory& memory = workers_[id].models[model];
  memory.pending = status.ok();
  memory.refused = !status.ok();
  if (!status.ok()) {
    ++memory.failures;
    memory.error = std::string(status.message());
    memory.failed_at = clock_.Monotonic();
  }
  return status;
}

absl::Status Fleet::Unload(const WorkerId& id, const ModelKey& model) {
  const absl::Status status = client_.Unload(AddressOf(id), model);
  // Wanted again, it starts anew.
  if (status.ok()) workers_[id].models.erase(model);
  return status;
}

WorkerPool* Fleet::FindPool(std::string_view name) const {
  const auto pool = std::find_if(pools_.begin(), pools_.end(),
                                 [&](const WorkerPool* p) { return p->name() == name; });
  return pool == pools_.end() ? nullptr : *pool;
}

}  // namespace slipway::controller
