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
         !job->has_result && !job->cancel_requested && !IsOutOfTime(*job, trainer, policy);
}

bool WaitsForRegistry(const QueuedJob& job, const Running& running, absl::Time now,
                      const SchedulingPolicy& policy) {
  const auto retry = running.register_not_before.find(job.name);
  return retry != running.register_not_before.end() && now < retry->second &&
         retry->second - now <= policy.max_wait;
}

// The job to launch next, among `waiting`, which is not empty.
std::vector<const QueuedJob*>::const_iterator Choose(
    const std::vector<const QueuedJob*>& waiting, const std::map<std::string, int>& trainers,
    const std::map<std::string, int64_t>& last_launch) {
  const auto rank = [&](const QueuedJob* job) {
    const auto count = trainers.find(job->name.tenant);
    const auto last = last_launch.find(job->name.tenant);
    return std::tuple(count == trainers.end() ? 0 : count->second,
                      last == last_launch.end() ? int64_t{0} : last->second, -job->priority,
                      job->order);
  };
  return std::min_element(waiting.begin(), waiting.end(),
                          [&](const auto* a, const auto* b) { return rank(a) < rank(b); });
}

}  // namespace

std::string ToString(const Action& action) {
  struct Visitor {
    std::string operator()(const LaunchTrainer& a) const { return "launch " + a.job.ToString(); }
    std::string operator()(const StopTrainer& a) const {
      return fmt::format("stop {} attempt {}", a.job.ToString(), a.attempt);
    }
    std::string operator()(const KillTrainer& a) const {
      return fmt::format("kill {} attempt {}", a.job.ToString(), a.attempt);
    }
    std::string operator()(const SettleAttempt& a) const { return "settle " + a.job.ToString(); }
    std::string operator()(const RegisterResult& a) const { return "register " + a.job.ToString(); }
    std::string operator()(const DropResult& a) const { return "drop " + a.job.ToString(); }
    std::string operator()(const DiscardFiles& a) const { return "discard " + a.job.ToString(); }
  };
  return std::visit(Visitor(), action);
}

absl::Duration TimeLimit(const QueuedJob& job, const SchedulingPolicy& policy) {
  return job.time_limit > absl::ZeroDuration() ? job.time_limit : policy.default_time_limit;
}

std::vector<Action> Reconcile(const Queue& queue, const Running& running, absl::Time now) {
  std::map<JobName, const QueuedJob*> jobs;
  for (const QueuedJob& job : queue.jobs) jobs[job.name] = &job;

  std::vector<Action> actions;
  std::map<std::string, int> tenant_trainers;
  std::set<JobName> with_trainer;
  for (const RunningTrainer& trainer : running.trainers) {
    ++tenant_trainers[trainer.job.tenant];
    with_trainer.insert(trainer.job);
    const auto job = jobs.find(trainer.job);
    if (MayGoOn(job == jobs.end() ? nullptr : job->second, trainer, queue.policy)) continue;
    if (!trainer.stopping.has_value()) {
      actions.push_back(StopTrainer{trainer.job, trainer.attempt});
    } else if (*trainer.stopping >= queue.policy.stop_grace && !trainer.killed) {
      actions.push_back(KillTrainer{trainer.job, trainer.attempt});
    }
  }

  std::vector<const QueuedJob*> waiting;
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
    } else if (job->state == TrainingJob::RUNNING) {
      if (!has_trainer) actions.push_back(SettleAttempt{name});
    } else if (!has_trainer && IsDue(*job, queue.policy, now)) {
      waiting.push_back(job);
    }
  }

  std::map<std::string, int64_t> last_launch = running.last_launch;
  int64_t newest_launch = 0;
  for (const auto& [tenant, launch] : last_launch) newest_launch = std::max(newest_launch, launch);
  int free = queue.policy.max_trainers - static_cast<int>(running.trainers.size());
  for (; free > 0 && !waiting.empty(); --free) {
    const auto chosen = Choose(waiting, tenant_trainers, last_launch);
    const JobName& name = (*chosen)->name;
    actions.push_back(LaunchTrainer{name});
    ++tenant_trainers[name.tenant];
    last_launch[name.tenant] = ++newest_launch;
    waiting.erase(chosen);
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
