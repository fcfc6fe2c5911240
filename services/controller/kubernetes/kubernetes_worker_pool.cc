#include "services/controller/kubernetes/kubernetes_worker_pool.h"

#include <map>
#include <utility>

#include "common/log/log.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::controller {
namespace {

constexpr char kPods[] = "pods";
constexpr char kTemplates[] = "podtemplates";
// A pod that hangs: its node is to notice that it ends, but not to wait for it.
constexpr absl::Duration kShortGrace = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<KubernetesWorkerPool>> KubernetesWorkerPool::Open(
    Options options, KubernetesApi& api, const Clock& clock, std::function<void()> changed) {
  std::unique_ptr<KubernetesWorkerPool> pool(
      new KubernetesWorkerPool(std::move(options), api, clock, std::move(changed)));
  const absl::Duration every = pool->options_.look_every;
  if (const absl::Status looked = pool->Turn(); !looked.ok()) {
    return Annotate(looked, fmt::format("pool {}", pool->name()));
  }
  pool->thread_.Start(
      every, RepeatingThread::First::kAfterInterval,
      [pool = pool.get(), failing = false]() mutable {
        const absl::Status turned = pool->Turn();
        if (!turned.ok() && !failing) {
          Log(Severity::kWarning, "pods_not_seen", {{"pool", pool->name()}, {"error", turned}});
        }
        failing = !turned.ok();
      });
  return pool;
}

KubernetesWorkerPool::KubernetesWorkerPool(Options options, KubernetesApi& api, const Clock& clock,
                                           std::function<void()> changed)
    : options_(std::move(options)), api_(api), clock_(clock), changed_(std::move(changed)) {
  MutexLock lock(mutex_);
  slots_.resize(static_cast<size_t>(options_.isolated_workers));
}

KubernetesWorkerPool::Slot* KubernetesWorkerPool::FindSlot(int index) {
  const int number = index - size();
  return number < 0 ? nullptr : &slots_[static_cast<size_t>(number)];
}

std::vector<WorkerProcess> KubernetesWorkerPool::Workers() const {
  const absl::Duration now = clock_.Monotonic();
  std::vector<WorkerProcess> workers;
  for (const std::string& address : options_.addresses) {
    workers.push_back({.id = {options_.name, static_cast<int>(workers.size())},
                       .running = true,
                       .address = address});
  }
  MutexLock lock(mutex_);
  for (int number = 0; number < std::ssize(slots_); ++number) {
    const Slot& slot = slots_[static_cast<size_t>(number)];
    WorkerProcess& worker = workers.emplace_back(
        slot.Describe({options_.name, size() + number}, now, options_.healthy_after));
    if (!slot.running) continue;
    worker.address = template_.AddressOf(number, api_.namespace_name());
    worker.ending = slot.ending;
    worker.waits_for = slot.waits_for;
  }
  return workers;
}

void KubernetesWorkerPool::Start(int index, const std::string& owner) {
  {
    MutexLock lock(mutex_);
    Slot* const slot = FindSlot(index);
    if (slot == nullptr || slot->running) return;
    slot->Begin(owner, clock_.Monotonic());
    slot->ending = false;
    slot->to_start = true;
    slot->waits_for = "its pod is being made";
  }
  thread_.Wake();
}

void KubernetesWorkerPool::Stop(int index, const std::string& reason) {
  {
    MutexLock lock(mutex_);
    Slot* const slot = FindSlot(index);
    if (slot == nullptr || !slot->running) return;
    slot->stop_reason = fmt::format("it was stopped: {}", reason);
    if (slot->to_start) return Ended(index - size(), slot->stop_reason);
    // One that was told already is on a node that does not do it.
    slot->grace = slot->ending ? absl::ZeroDuration() : kShortGrace;
    slot->to_delete = true;
  }
  thread_.Wake();
}

void KubernetesWorkerPool::Retire(int index) {
  {
    MutexLock lock(mutex_);
    Slot* const slot = FindSlot(index);
    if (slot == nullptr || !slot->running || slot->retired) return;
    slot->retired = slot->ending = true;
    if (slot->to_start) return Ended(index - size(), "nobody needs it");
    slot->grace = std::nullopt;
    slot->to_delete = true;
  }
  thread_.Wake();
}

void KubernetesWorkerPool::Ended(int number, const std::string& how) {
  Slot& slot = slots_[static_cast<size_t>(number)];
  Log(slot.retired ? Severity::kInfo : Severity::kWarning, "worker_exited",
      {{"worker", WorkerId{options_.name, size() + number}.ToString()}, {"exit", how}});
  slot.End(how, clock_.Monotonic(), options_.healthy_after);
  slot.ending = slot.to_start = false;
}

absl::Status KubernetesWorkerPool::Turn() {
  DeletePods();
  RETURN_IF_ERROR(MakePods());
  return LookAtPods();
}

void KubernetesWorkerPool::DeletePods() {
  struct Order {
    size_t number;
    std::string name;
    std::string uid;
    std::optional<absl::Duration> grace;
  };
  std::vector<Order> orders;
  {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (!slots_[i].to_delete) continue;
      orders.push_back({i, template_.NameOf(static_cast<int>(i)), slots_[i].uid, slots_[i].grace});
    }
  }
  for (const Order& order : orders) {
    const absl::Status deleted = api_.Delete(kPods, order.name, order.uid, order.grace);
    // That it is gone is what was wanted.
    const bool done = deleted.ok() || absl::IsNotFound(deleted) || absl::IsAborted(deleted);
    if (!done) {
      Log(Severity::kWarning, "pod_not_deleted", {{"pod", order.name}, {"error", deleted}});
      continue;
    }
    MutexLock lock(mutex_);
    Slot& slot = slots_[order.number];
    if (slot.uid == order.uid && slot.grace == order.grace) slot.to_delete = false;
  }
}

absl::Status KubernetesWorkerPool::MakePods() {
  std::map<int, std::string> owners;
  {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].to_start) owners[static_cast<int>(i)] = slots_[i].owner;
    }
    if (owners.empty() && !template_.name.empty()) return absl::OkStatus();
  }
  // Anew each time: the chart may have been upgraded.
  ASSIGN_OR_RETURN(const nlohmann::json object, api_.Get(kTemplates, options_.pod_template));
  ASSIGN_OR_RETURN(const PodTemplate made_by, PodTemplate::Read(object));
  {
    MutexLock lock(mutex_);
    template_ = made_by;
  }
  for (const auto& [number, owner] : owners) {
    const absl::Status made =
        api_.Create(kPods, MakePod(made_by, number, owner, options_.arguments(owner)));
    // Of that name there may still be the one before, or the one that an earlier call made whose
    // answer was lost: See() tells them apart.
    if (absl::IsAlreadyExists(made)) continue;
    MutexLock lock(mutex_);
    Slot& slot = slots_[static_cast<size_t>(number)];
    if (!slot.to_start || slot.owner != owner) continue;
    if (made.ok()) {
      Log(Severity::kInfo, "worker_started",
          {{"worker", WorkerId{options_.name, size() + number}.ToString()},
           {"pod", made_by.NameOf(number)}});
    } else if (absl::IsUnavailable(made)) {
      slot.waits_for = std::string(made.message());
    } else {
      Ended(number, std::string(made.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status KubernetesWorkerPool::LookAtPods() {
  PodTemplate made_by;
  {
    MutexLock lock(mutex_);
    made_by = template_;
  }
  ASSIGN_OR_RETURN(const std::vector<nlohmann::json> pods, api_.List(kPods, made_by.labels));
  std::map<int, SeenPod> seen;
  for (const nlohmann::json& pod : pods) {
    if (auto read = ReadPod(made_by, pod)) seen[read->number] = *std::move(read);
  }
  bool changed = false;
  {
    MutexLock lock(mutex_);
    for (int number = 0; number < std::ssize(slots_); ++number) {
      const auto pod = seen.find(number);
      changed |= See(number, pod == seen.end() ? nullptr : &pod->second);
    }
  }
  if (changed) changed_();
  return absl::OkStatus();
}

bool KubernetesWorkerPool::See(int number, const SeenPod* pod) {
  Slot& slot = slots_[static_cast<size_t>(number)];
  if (pod == nullptr) {
    const bool was_there = !std::exchange(slot.uid, "").empty();
    slot.to_delete = false;
    // One that is to be made was not there before.
    if (!slot.running || slot.to_start) return false;
    Ended(number, was_there ? "its pod was deleted" : "its pod is gone");
    return true;
  }
  if (pod->ended) {
    const bool known = slot.uid == pod->uid;
    slot.uid = pod->uid;
    // Until it is gone its name is taken.
    if (!pod->ending) {
      slot.to_delete = true;
      slot.grace = absl::ZeroDuration();
      thread_.Wake();
    }
    const bool of_before = slot.to_start && (known || pod->owner != slot.owner);
    if (!slot.running || of_before) return false;
    Ended(number, pod->how);
    return true;
  }
  if (slot.to_start && (pod->ending || pod->owner != slot.owner)) {
    // Another one, of before; it goes first.
    slot.uid = pod->uid;
    if (!pod->ending) {
      slot.to_delete = true;
      slot.grace = std::nullopt;
    }
    return false;
  }
  const bool found = slot.uid != pod->uid;
  const bool changed =
      found || !slot.running || slot.ending != pod->ending || slot.waits_for != pod->waits_for;
  if (!slot.running) {
    // It was made by the controller before this one.
    ++slot.incarnation;
    slot.changed_at = clock_.Monotonic();
    slot.running = true;
    slot.retired = pod->ending;
  }
  slot.to_start = false;
  slot.uid = pod->uid;
  slot.owner = pod->owner;
  slot.ending = pod->ending;
  slot.waits_for = pod->waits_for;
  return changed;
}

}  // namespace slipway::controller
