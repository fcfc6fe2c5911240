#include "services/training/reconcile.h"

#include <algorithm>
#include <tuple>

#include "fmt/format.h"

namespace slipway::training {
namespace {

using v1::TrainingJob;

bool IsDue(const QueuedJob& job, const SchedulingPolicy& policy, absl::Time now) {
  return now >= job.not_before || job.not_before - now > policy.max_wait;
}

bool IsOutOfTime(const QueuedJob& job, const RunningTrainer& trainer,
                 const SchedulingPolicy& policy) {
  return job.used + trainer.ran >= TimeLimit(job, policy);
}

bool MayGoOn(const QueuedJob* job, const RunningTrainer& trainer, const SchedulingPolicy& policy) {
  return job != nullptr && job->state == TrainingJob::RUNNING && job->attempt == trainer.attempt &&
         !job->has_result && !job->cancel_requested && !job->pause_requested &&
         !IsOutOfTime(*job, trainer, policy);
}

bool WaitsForRegistry(const QueuedJob& job, const Running& running, absl::Time now,
                      const SchedulingPolicy& policy) {
  const auto retry = running.register_not_before.find(job.name);
  return retry != running.register_not_before.end() && now < retry->second &&
         retry->second - now <= policy.max_wait;
}

// Whether a search has to look at its trials again.
bool NeedsStep(const QueuedJob& search, const std::map<JobName, const QueuedJob*>& jobs,
               const Running& running) {
  const auto waits = running.search_waits.find(search.name);
  // It has not looked since the service was started, or has nothing left to wait for.
  if (waits == running.search_waits.end() || waits->second.empty()) return true;
  // It was submitted, or resumed.
  if (search.state == TrainingJob::QUEUED) return true;
  bool all_paused = true;
  for (const JobName& name : waits->second) {
    const auto trial = jobs.find(name);
    if (trial == jobs.end() || IsFinal(trial->second->state)) return true;
    const bool paused = trial->second->state == TrainingJob::PAUSED;
    all_paused = all_paused && paused;
    if (search.cancel_requested
            ? !trial->second->cancel_requested
            : search.pause_requested != (paused || trial->second->pause_requested)) {
      return true;
    }
  }
  return search.pause_requested && all_paused && !search.cancel_requested;
}

using Counts = std::map<std::string, int>;

int CountOf(const Counts& counts, const std::string& tenant) {
  const auto count = counts.find(tenant);
  return count == counts.end() ? 0 : count->second;
}

bool HasRoom(const Counts& trainers, const QueuedJob& job, const SchedulingPolicy& policy) {
  return policy.max_trainers_per_tenant == 0 ||
         CountOf(trainers, job.name.tenant) + ProcessesOf(job, policy) <=
             policy.max_trainers_per_tenant;
}

// The job to launch next, among `waiting`; null where none may be.
const QueuedJob* Choose(const std::set<const QueuedJob*>& waiting, const Counts& trainers,
                        const std::map<std::string, int64_t>& last_launch,
                        const SchedulingPolicy& policy) {
  const auto rank = [&](const QueuedJob* job) {
    const auto last = last_launch.find(job->name.tenant);
    return std::tuple(CountOf(trainers, job->name.tenant),
                      last == last_launch.end() ? int64_t{0} : last->second, -job->priority,
                      job->order);
  };
  const QueuedJob* chosen = nullptr;
  for (const QueuedJob* job : waiting) {
    if (!HasRoom(trainers, *job, policy)) continue;
    if (chosen == nullptr || rank(job) < rank(chosen)) chosen = job;
  }
  return chosen;
}

// A job whose trainers may be stopped to make room.
struct Candidate {
  const QueuedJob* job;
  int attempt;
  int processes;
};

// The one to stop for `job`, which takes so many trainers; past the end for none. Of two tenants
// the one that gives way has no less than the other afterwards.
std::vector<Candidate>::iterator ChooseVictim(const QueuedJob& job, int processes,
                                              std::vector<Candidate>& candidates,
                                              const Counts& trainers) {
  const std::string& tenant = job.name.tenant;
  const auto gives_way = [&](const Candidate& candidate) {
    if (candidate.job->name.tenant == tenant) return candidate.job->priority < job.priority;
    return CountOf(trainers, candidate.job->name.tenant) - candidate.processes >=
           CountOf(trainers, tenant) + processes;
  };
  const auto rank = [&](const Candidate& candidate) {
    const std::string& other = candidate.job->name.tenant;
    return std::tuple(other != tenant, other == tenant ? 0 : -CountOf(trainers, other),
                      candidate.job->priority, -candidate.job->order);
  };
  auto chosen = candidates.end();
  for (auto candidate = candidates.begin(); candidate != candidates.end(); ++candidate) {
    if (!gives_way(*candidate)) continue;
    if (chosen == candidates.end() || rank(*candidate) < rank(*chosen)) chosen = candidate;
  }
  return chosen;
}

// Those to stop so that `missing` trainers' room is made for `job`; leaves them out of `candidates`
// and `trainers`. Where they do not suffice: none, and nothing is changed.
std::vector<Candidate> ChooseVictims(const QueuedJob& job, int processes, int missing,
                                     std::vector<Candidate>& candidates, Counts& trainers) {
  std::vector<Candidate> left = candidates;
  Counts counts = trainers;
  std::vector<Candidate> victims;
  while (missing > 0) {
    const auto victim = ChooseVictim(job, processes, left, counts);
    if (victim == left.end()) return {};
    missing -= victim->processes;
    counts[victim->job->name.tenant] -= victim->processes;
    victims.push_back(*victim);
    left.erase(victim);
  }
  candidates = std::move(left);
  trainers = std::move(counts);
  return victims;
}

}  // namespace

std::string ToString(const Action& action) {
  struct Visitor {
    std::string operator()(const LaunchTrainer& a) const {
      return "launch " + a.job.ToString() +
             (a.processes > 1 ? fmt::format(" on {} trainers", a.processes) : "");
    }
    std::string operator()(const StopTrainer& a) const {
      return fmt::format("stop {} attempt {}", a.job.ToString(), a.attempt);
    }
    std::string operator()(const KillTrainer& a) const {
      return fmt::format("kill {} attempt {}", a.job.ToString(), a.attempt);
    }
    std::string operator()(const SettleAttempt& a) const { return "settle " + a.job.ToString(); }
    std::string operator()(const CopyObjects& a) const {
      return "copy objects for " + a.job.ToString();
    }
    std::string operator()(const RegisterResult& a) const { return "register " + a.job.ToString(); }
    std::string operator()(const DropResult& a) const { return "drop " + a.job.ToString(); }
    std::string operator()(const StepSearch& a) const { return "step " + a.job.ToString(); }
    std::string operator()(const DiscardFiles& a) const { return "discard " + a.job.ToString(); }
  };
  return std::visit(Visitor(), action);
}

absl::Duration TimeLimit(const QueuedJob& job, const SchedulingPolicy& policy) {
  return job.time_limit > absl::ZeroDuration() ? job.time_limit : policy.default_time_limit;
}

int ProcessesOf(const QueuedJob& job, const SchedulingPolicy& policy) {
  const int most = policy.max_trainers_per_tenant == 0
                       ? policy.max_trainers
                       : std::min(policy.max_trainers, policy.max_trainers_per_tenant);
  return std::clamp(job.processes, 1, most);
}

std::vector<Action> Reconcile(const Queue& queue, const Running& running, absl::Time now) {
  std::map<JobName, const QueuedJob*> jobs;
  for (const QueuedJob& job : queue.jobs) jobs[job.name] = &job;

  std::vector<Action> actions;
  std::set<JobName> with_trainer;
  // Of the trainers that go on, how many a tenant has, and which may be stopped.
  Counts tenant_trainers;
  std::vector<Candidate> candidates;
  // The others.
  int leaving = 0;
  int free = queue.policy.max_trainers;
  for (const RunningTrainer& trainer : running.trainers) {
    with_trainer.insert(trainer.job);
    free -= trainer.processes;
    const auto job = jobs.find(trainer.job);
    if (!trainer.stopping.has_value()) {
      if (MayGoOn(job == jobs.end() ? nullptr : job->second, trainer, queue.policy)) {
        tenant_trainers[trainer.job.tenant] += trainer.processes;
        if (trainer.ran >= queue.policy.min_run) {
          candidates.push_back({job->second, trainer.attempt, trainer.processes});
        }
        continue;
      }
      actions.push_back(StopTrainer{trainer.job, trainer.attempt});
    } else if (*trainer.stopping >= queue.policy.stop_grace && !trainer.killed) {
      actions.push_back(KillTrainer{trainer.job, trainer.attempt});
    }
    leaving += trainer.processes;
  }

  std::set<const QueuedJob*> waiting;
  std::set<const QueuedJob*> without_data;
  for (const auto& [name, job] : jobs) {
    const bool has_trainer = with_trainer.contains(name);
    const bool registering = running.registering.contains(name);
    if (IsFinal(job->state)) {
      if (!has_trainer && !registering) actions.push_back(DiscardFiles{name});
    } else if (job->state == TrainingJob::RUNNING && job->has_result) {
      if (registering) continue;
      if (job->cancel_requested) {
        actions.push_back(DropResult{name});
      } else if (!WaitsForRegistry(*job, running, now, queue.policy)) {
        actions.push_back(RegisterResult{name});
      }
    } else if (job->lacks_dataset && job->state == TrainingJob::QUEUED && !job->cancel_requested) {
      if (IsDue(*job, queue.policy, now)) without_data.insert(job);
    } else if (job->is_search) {
      const bool rests = job->state == TrainingJob::PAUSED && !job->cancel_requested;
      if (!rests && NeedsStep(*job, jobs, running)) {
        actions.push_back(StepSearch{name});
      }
    } else if (job->state == TrainingJob::RUNNING) {
      if (!has_trainer) actions.push_back(SettleAttempt{name});
    } else if (job->state == TrainingJob::QUEUED && !has_trainer &&
               IsDue(*job, queue.policy, now)) {
      waiting.insert(job);
    }
  }

  if (!running.copying.has_value()) {
    const QueuedJob* const chosen = Choose(without_data, Counts(), running.last_copy, queue.policy);
    if (chosen != nullptr) actions.push_back(CopyObjects{chosen->name});
  }

  std::map<std::string, int64_t> last_launch = running.last_launch;
  int64_t newest_launch = 0;
  for (const auto& [tenant, launch] : last_launch) newest_launch = std::max(newest_launch, launch);
  for (;;) {
    const QueuedJob* chosen = Choose(waiting, tenant_trainers, last_launch, queue.policy);
    if (chosen == nullptr) break;
    waiting.erase(chosen);
    const std::string& tenant = chosen->name.tenant;
    const int processes = ProcessesOf(*chosen, queue.policy);
    // The room that is free, then that of trainers that end already, then that of others.
    const int missing = processes - std::max(free, 0) - leaving;
    const std::vector<Candidate> victims =
        ChooseVictims(*chosen, processes, missing, candidates, tenant_trainers);
    if (missing > 0 && victims.empty()) {
      // Its turn comes first.
      if (processes > 1) break;
      continue;
    }
    if (free >= processes) {
      actions.push_back(LaunchTrainer{chosen->name, processes});
      free -= processes;
    } else {
      for (const Candidate& victim : victims) {
        actions.push_back(StopTrainer{victim.job->name, victim.attempt});
        leaving += victim.processes;
      }
      leaving -= processes - std::max(free, 0);
      free = std::min(free, 0);
    }
    tenant_trainers[tenant] += processes;
    last_launch[tenant] = ++newest_launch;
  }
  return actions;
}

absl::Time NextWake(const Queue& queue, const Running& running, absl::Time now) {
  absl::Time wake = absl::InfiniteFuture();
  std::map<JobName, const QueuedJob*> jobs;
  for (const QueuedJob& job : queue.jobs) {
    jobs[job.name] = &job;
    if (job.state == TrainingJob::QUEUED && job.not_before > now) {
      wake = std::min(wake, job.not_before);
    }
  }
  for (const auto& [name, retry] : running.register_not_before) {
    if (retry > now && jobs.contains(name)) wake = std::min(wake, retry);
  }
  for (const RunningTrainer& trainer : running.trainers) {
    if (trainer.ran < queue.policy.min_run) {
      wake = std::min(wake, now + queue.policy.min_run - trainer.ran);
    }
    if (trainer.stopping.has_value()) {
      if (!trainer.killed) {
        wake = std::min(wake, now + queue.policy.stop_grace - *trainer.stopping);
      }
    } else if (const auto job = jobs.find(trainer.job); job != jobs.end()) {
      wake = std::min(
          wake, now + TimeLimit(*job->second, queue.policy) - job->second->used - trainer.ran);
    }
  }
  return std::max(wake, now);
}

}  // namespace slipway::training
