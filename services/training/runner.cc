#include "services/training/runner.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "services/training/search/trial.h"
#include "services/training/spec/gates.h"

namespace slipway::training {
namespace {

using google::protobuf::util::TimeUtil;
using v1::TrainingJob;

// A token outlives its attempt by this, so that the last report of a trainer that is stopped for
// its time limit is still heard.
constexpr absl::Duration kTokenMargin = absl::Minutes(10);
// However quiet it is, the loop looks at its state again after this.
constexpr absl::Duration kLongestPause = absl::Minutes(1);
// Before a launch that failed for want of room is tried again.
constexpr absl::Duration kFullDiskWait = absl::Seconds(10);

// Would the same call do better later?
bool IsPassing(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

// On whose behalf versions are made: the job's owner.
Principal OwnerOf(const Job& job) {
  Principal owner;
  owner.tenant = job.name.tenant;
  owner.key_id = job.key_id;
  owner.role = Role::kDeveloper;
  owner.caller = ServiceId::kTraining;
  return owner;
}

// "find-3 has validation_loss 0.31 with optimizer.learning_rate 0.01"
std::string Describe(const Job& job, const Search& search) {
  std::string values;
  for (const auto& [path, value] : std::map(job.trial.values().begin(), job.trial.values().end())) {
    std::string text;
    (void)google::protobuf::util::MessageToJsonString(value, &text);
    values += fmt::format("{}{} {}", values.empty() ? "" : ", ", path, text);
  }
  const std::optional<double> metric = MetricOf(job, search.metric());
  return fmt::format(
      "{} {} with {}", job.name.id,
      metric.has_value()
          ? fmt::format("has {} {:.6g}", search.metric(), *metric)
          : fmt::format("has no result ({})", job.state == TrainingJob::CANCELLED ? "cancelled"
                                              : job.error.empty() ? "it was not measured"
                                                                  : job.error),
      values);
}

QueuedJob LimitsOf(const Job& job) {
  QueuedJob out;
  out.used = job.used;
  out.time_limit = ToDuration(job.spec.resources().time_limit());
  return out;
}

}  // namespace

Runner::Runner(JobStore& store, Launcher& launcher, ModelRegistry& registry,
               const ObjectStores& objects, Board& board, EventBell& bell, const Clock& clock,
               const RunnerOptions& options)
    : store_(store),
      launcher_(launcher),
      registry_(registry),
      objects_(objects),
      board_(board),
      bell_(bell),
      clock_(clock),
      options_(options) {}

Runner::~Runner() { Stop(); }

absl::Status Runner::Start() {
  ASSIGN_OR_RETURN(const std::vector<Job> jobs, store_.ListUnfinished());
  std::vector<JobName> names;
  for (const Job& job : jobs) {
    board_.Show(job);
    names.push_back(job.name);
  }
  if (const absl::Status status = launcher_.DiscardAllBut(names); !status.ok()) {
    // Only room is lost.
    Log(Severity::kWarning, "leftovers_kept", {{"error", status}});
  }
  Log(Severity::kInfo, "jobs_taken_up", {{"jobs", names.size()}});
  copier_ = std::jthread([this](std::stop_token stop) { CopyLoop(stop); });
  registrar_ = std::jthread([this](std::stop_token stop) { RegisterLoop(stop); });
  loop_ = std::jthread([this](std::stop_token stop) { Loop(stop); });
  return absl::OkStatus();
}

void Runner::Stop() {
  if (!loop_.joinable()) return;
  loop_.request_stop();
  board_.Poke();
  loop_.join();
  registrar_.request_stop();
  copier_.request_stop();
  {
    MutexLock lock(mutex_);
    to_register_changed_.SignalAll();
    copying_changed_.SignalAll();
  }
  registrar_.join();
  copier_.join();
}

void Runner::Loop(std::stop_token stop) {
  while (!stop.stop_requested()) {
    TakeNews();
    bool failed = false;
    const Queue queue{board_.Jobs(), options_.scheduling};
    for (const Action& action : Reconcile(queue, Observe(), clock_.Now())) {
      const absl::Status status = Act(action);
      if (status.ok()) continue;
      Log(Severity::kWarning, "action_failed", {{"action", ToString(action)}, {"error", status}});
      failed = true;
    }
    const Queue after{board_.Jobs(), options_.scheduling};
    const absl::Time now = clock_.Now();
    absl::Duration pause = std::min(NextWake(after, Observe(), now) - now, kLongestPause);
    if (failed) pause = std::min(pause, options_.action_retry);
    board_.Wait(pause);
  }
  StopTrainers();
}

void Runner::TakeNews() {
  std::vector<std::pair<JobName, EndedAttempt>> ended;
  std::vector<Registration> registered;
  {
    MutexLock lock(mutex_);
    ended.swap(news_ended_);
    registered.swap(news_registered_);
  }
  for (auto& [name, end] : ended) {
    const auto trainer = trainers_.find(name);
    if (trainer == trainers_.end()) continue;
    end.ran = end.ended - trainer->second.started;
    // However it ended: it was asked to.
    if (trainer->second.stop_asked.has_value()) end.end.interrupted = true;
    Log(Severity::kInfo, "trainer_ended",
        {{"job", name.ToString()},
         {"attempt", end.attempt},
         {"reason", end.end.reason.empty() ? "it is done" : end.end.reason}});
    trainers_.erase(trainer);
    ended_[name] = std::move(end);
  }
  for (const Registration& registration : registered) {
    registering_.erase(registration.job);
    if (!registration.try_again) {
      register_not_before_.erase(registration.job);
      register_failures_.erase(registration.job);
      continue;
    }
    const int failures = ++register_failures_[registration.job];
    register_not_before_[registration.job] = clock_.Now() + options_.retry.Backoff(failures);
  }
}

Running Runner::Observe() {
  Running running;
  const absl::Duration now = clock_.Monotonic();
  for (const auto& [name, live] : trainers_) {
    RunningTrainer trainer{.job = name,
                           .attempt = live.attempt,
                           .processes = live.processes,
                           .ran = now - live.started,
                           .stopping = std::nullopt,
                           .killed = live.killed};
    if (live.stop_asked.has_value()) trainer.stopping = now - *live.stop_asked;
    running.trainers.push_back(trainer);
  }
  running.registering = registering_;
  running.register_not_before = register_not_before_;
  running.search_waits = search_waits_;
  running.last_launch = last_launch_;
  running.last_copy = last_copy_;
  MutexLock lock(mutex_);
  running.copying = copying_;
  return running;
}

absl::Status Runner::Change(const JobName& name,
                            absl::FunctionRef<absl::Status(Job&, Effects&)> change, Job* changed) {
  absl::StatusOr<Job> job = store_.Update(name, change);
  if (absl::IsNotFound(job.status())) {
    // Its tenant was deleted.
    board_.Remove(name);
    return absl::OkStatus();
  }
  const bool too_late = absl::IsAborted(job.status());
  if (too_late) job = store_.Get(name);
  RETURN_IF_ERROR(job.status());
  board_.Show(*job);
  bell_.Ring(name, job->last_sequence);
  if (changed != nullptr && !too_late) *changed = *std::move(job);
  return absl::OkStatus();
}

absl::Status Runner::Act(const Action& action) {
  struct Visitor {
    Runner& runner;
    absl::Status operator()(const LaunchTrainer& a) { return runner.Launch(a.job, a.processes); }
    absl::Status operator()(const StopTrainer& a) {
      LiveTrainer& live = runner.trainers_.at(a.job);
      live.stop_asked = runner.clock_.Monotonic();
      live.trainer->Stop();
      return absl::OkStatus();
    }
    absl::Status operator()(const KillTrainer& a) {
      LiveTrainer& live = runner.trainers_.at(a.job);
      live.killed = true;
      live.trainer->Kill();
      Log(Severity::kWarning, "trainer_killed",
          {{"job", a.job.ToString()}, {"attempt", a.attempt}});
      return absl::OkStatus();
    }
    absl::Status operator()(const SettleAttempt& a) { return runner.Settle(a.job); }
    absl::Status operator()(const CopyObjects& a) {
      runner.last_copy_[a.job.tenant] = ++runner.launches_;
      MutexLock lock(runner.mutex_);
      runner.copying_ = a.job;
      runner.copying_changed_.Signal();
      return absl::OkStatus();
    }
    absl::Status operator()(const RegisterResult& a) {
      runner.registering_.insert(a.job);
      MutexLock lock(runner.mutex_);
      runner.to_register_.push_back(a.job);
      runner.to_register_changed_.Signal();
      return absl::OkStatus();
    }
    absl::Status operator()(const DropResult& a) {
      return runner.Change(
          a.job,
          [&](Job& job, Effects& effects) {
            return GiveUpResult(job, "cancelled", runner.clock_.Now(), effects);
          },
          nullptr);
    }
    absl::Status operator()(const StepSearch& a) { return runner.Step(a.job); }
    absl::Status operator()(const DiscardFiles& a) { return runner.Discard(a.job); }
  };
  return std::visit(Visitor{*this}, action);
}

absl::Status Runner::Launch(const JobName& name, int processes) {
  Job job;
  RETURN_IF_ERROR(Change(
      name, [&](Job& job, Effects& effects) { return StartAttempt(job, clock_.Now(), effects); },
      &job));
  if (job.name != name) return absl::OkStatus();  // no longer queued
  ended_.erase(name);
  last_launch_[name.tenant] = ++launches_;

  v1::Attempt attempt;
  attempt.set_job(name.ToString());
  attempt.set_attempt(job.attempts);
  attempt.set_processes(processes);
  *attempt.mutable_spec() = SpecOf(job);
  *attempt.mutable_dataset() = job.dataset;
  if (job.base.has_value()) *attempt.mutable_base() = *job.base;
  attempt.set_trial(job.is_trial());
  const absl::Duration lifetime =
      TimeLimit(LimitsOf(job), options_.scheduling) - job.used + kTokenMargin;
  const int number = job.attempts;
  const absl::Duration started = clock_.Monotonic();
  auto trainer =
      launcher_.Launch(std::move(attempt), job.key_id, lifetime, [this, name, number](auto end) {
        const absl::Duration ended = clock_.Monotonic();
        {
          MutexLock lock(mutex_);
          news_ended_.emplace_back(name, EndedAttempt{number, std::move(end), ended});
        }
        board_.Poke();
      });
  if (!trainer.ok()) {
    EndedAttempt end{number, {}, started};
    end.end.reason = fmt::format("the trainer could not be started: {}",
                                 std::string(trainer.status().message()));
    if (IsStorageFull(trainer.status())) {
      end.end.interrupted = true;
      end.wait = kFullDiskWait;
    }
    ended_[name] = std::move(end);
    board_.Poke();
    return trainer.status();
  }
  trainers_[name] =
      LiveTrainer{number, processes, *std::move(trainer), started, std::nullopt, false};
  Log(Severity::kInfo, "trainer_launched",
      {{"job", name.ToString()}, {"tenant", name.tenant}, {"attempt", number}});
  return absl::OkStatus();
}

absl::Status Runner::Settle(const JobName& name) {
  RETURN_IF_ERROR(Change(
      name,
      [&](Job& job, Effects& effects) {
        AttemptEnd end;
        const auto ended = ended_.find(name);
        if (ended != ended_.end() && ended->second.attempt == job.attempts) {
          end.reason = ended->second.end.reason;
          if (end.reason.empty()) end.reason = "the trainer ended without a verdict";
          end.retryable = ended->second.end.retryable;
          end.last_lines = ended->second.end.last_lines;
          end.ran = ended->second.ran;
          end.interrupted = ended->second.end.interrupted;
          end.wait = ended->second.wait;
          const absl::Duration limit = TimeLimit(LimitsOf(job), options_.scheduling);
          if (job.used + *end.ran >= limit) {
            end.out_of_time = true;
            end.reason =
                fmt::format("its time limit of {:.6g} s is over", absl::ToDoubleSeconds(limit));
          }
        } else {
          end.reason = "the training service was restarted";
          end.interrupted = true;
        }
        return EndAttempt(job, end, options_.retry, clock_.Now(), effects);
      },
      nullptr));
  ended_.erase(name);
  return absl::OkStatus();
}

absl::Status Runner::BeginTrial(const Job& search, const Search& trials, const NewTrial& trial,
                                std::vector<JobName>& waits) {
  Job job;
  job.name.tenant = search.name.tenant;
  job.key_id = search.key_id;
  job.dataset = search.dataset;
  job.base = search.base;
  job.priority = search.priority;
  job.search = search.name.id;
  job.spec = trials.SpecOf(trial.index, trial.rung);
  if (trial.time_limit > absl::ZeroDuration()) {
    *job.spec.mutable_resources()->mutable_time_limit() =
        TimeUtil::MicrosecondsToDuration(absl::ToInt64Microseconds(trial.time_limit));
  }
  job.trial.set_index(trial.index);
  job.trial.set_rung(trial.rung);
  for (auto& [path, value] : trials.ValuesOf(trial.index)) {
    (*job.trial.mutable_values())[path] = std::move(value);
  }
  job.create_time = job.attempt_start = job.attempt_seen = clock_.Now();
  Effects effects;
  Enqueue(job, job.create_time, effects);
  job.name.id = fmt::format("{}-{}", search.name.id, trial.index);
  if (trial.rung > 0) job.name.id += fmt::format("-{}", trial.rung);
  // Its search counts, and lets only so many of them be queued.
  constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  absl::StatusOr<Job> kept = store_.Insert(job, effects, kNoLimit);
  if (absl::IsAlreadyExists(kept.status())) {
    // Another job of the tenant has that name.
    job.name.id += "-" + RandomHex(3);
    kept = store_.Insert(job, effects, kNoLimit);
  }
  RETURN_IF_ERROR(kept.status());
  board_.Show(*kept);
  waits.push_back(kept->name);
  Log(Severity::kInfo, "trial_submitted",
      {{"job", kept->name.ToString()}, {"tenant", kept->name.tenant}});
  return absl::OkStatus();
}

absl::Status Runner::Step(const JobName& name) {
  const absl::StatusOr<Job> found = store_.Get(name);
  if (absl::IsNotFound(found.status())) {
    // Its tenant was deleted.
    board_.Remove(name);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(found.status());
  const Job& job = *found;
  board_.Show(job);
  if (job.finished() || job.result.has_value()) return absl::OkStatus();
  // It was resumed meanwhile.
  if (job.lacks_dataset() && !job.cancel_requested) return absl::OkStatus();
  const auto parsed = Search::Parse(job.spec);
  if (!parsed.ok()) {
    // Another version of the platform has taken it.
    return Change(
        name,
        [&](Job& job, Effects& effects) {
          return EndSearch(job, TrainingJob::FAILED, std::string(parsed.status().message()),
                           clock_.Now(), effects);
        },
        nullptr);
  }
  const Search& search = *parsed;
  ASSIGN_OR_RETURN(const std::vector<Job> trials, store_.ListTrials(name));
  std::vector<TrialSoFar> so_far;
  std::vector<JobName> waits;
  std::vector<const Job*> over;
  bool all_paused = true;
  for (const Job& trial : trials) {
    so_far.push_back(ToTrialSoFar(trial, search));
    if (trial.finished()) {
      over.push_back(&trial);
      continue;
    }
    waits.push_back(trial.name);
    all_paused = all_paused && trial.state == TrainingJob::PAUSED;
    const bool paused = trial.state == TrainingJob::PAUSED || trial.pause_requested;
    if (job.cancel_requested ? trial.cancel_requested : job.pause_requested == paused) continue;
    const auto request = job.cancel_requested  ? RequestCancel
                         : job.pause_requested ? RequestPause
                                               : RequestResume;
    const absl::Status asked = Change(
        trial.name,
        [&](Job& fresh, Effects& effects) { return request(fresh, clock_.Now(), effects); },
        nullptr);
    // It may have ended meanwhile, and then says so by itself.
    if (!asked.ok() && !absl::IsFailedPrecondition(asked)) return asked;
  }
  std::sort(over.begin(), over.end(), [](const Job* a, const Job* b) {
    return std::tuple(*a->end_time, a->order) < std::tuple(*b->end_time, b->order);
  });

  SearchStep step;
  if (!job.cancel_requested && !job.pause_requested) {
    step = NextTrials(search, so_far);
    for (const NewTrial& trial : step.begin) {
      RETURN_IF_ERROR(BeginTrial(job, search, trial, waits));
    }
  }
  const std::optional<size_t> best = BestTrial(search, so_far);
  RETURN_IF_ERROR(Change(
      name,
      [&](Job& job, Effects& effects) -> absl::Status {
        const absl::Time now = clock_.Now();
        if (job.state == TrainingJob::QUEUED && !job.cancel_requested) {
          RETURN_IF_ERROR(StartSearch(job, now, effects));
        }
        for (auto told = job.progress.step(); told < std::ssize(over); ++told) {
          TellOfTrial(job, Describe(*over[static_cast<size_t>(told)], search), told + 1,
                      search.all_trials(), now, effects);
        }
        // What it was asked for meanwhile is for the next step.
        if (job.cancel_requested && waits.empty()) {
          return EndSearch(job, TrainingJob::CANCELLED, "cancelled by request", now, effects);
        }
        if (job.pause_requested && all_paused && !job.cancel_requested) {
          return EndSearch(job, TrainingJob::PAUSED, "paused by request", now, effects);
        }
        if (!step.done || job.cancel_requested) return absl::OkStatus();
        if (best.has_value()) return AdoptResult(job, trials[*best], now, effects);
        const std::string why = over.empty() ? "" : ": " + over.back()->error;
        return EndSearch(job, TrainingJob::FAILED, "no trial has a result" + why, now, effects);
      },
      nullptr));
  search_waits_[name] = std::move(waits);
  return absl::OkStatus();
}

absl::Status Runner::Discard(const JobName& name) {
  RETURN_IF_ERROR(launcher_.Discard(name));
  ended_.erase(name);
  search_waits_.erase(name);
  register_not_before_.erase(name);
  register_failures_.erase(name);
  board_.Remove(name);
  return absl::OkStatus();
}

void Runner::StopTrainers() {
  for (auto& [name, live] : trainers_) live.trainer->Stop();
  const absl::Duration until = clock_.Monotonic() + options_.scheduling.stop_grace;
  bool killed = false;
  for (;;) {
    TakeNews();
    if (trainers_.empty()) return;
    const absl::Duration left = until - clock_.Monotonic();
    if (left <= absl::ZeroDuration() && !killed) {
      for (auto& [name, live] : trainers_) live.trainer->Kill();
      killed = true;
    }
    board_.Wait(killed ? kLongestPause : left);
  }
}

void Runner::CopyLoop(std::stop_token stop) {
  for (;;) {
    JobName name;
    {
      MutexLock lock(mutex_);
      while (!copying_.has_value() && !stop.stop_requested()) copying_changed_.Wait(mutex_);
      if (stop.stop_requested()) return;
      name = *copying_;
    }
    Copy(name, stop);
    {
      MutexLock lock(mutex_);
      copying_.reset();
    }
    board_.Poke();
  }
}

void Runner::Copy(const JobName& name, const std::stop_token& stop) {
  const absl::StatusOr<Job> found = store_.Get(name);
  absl::Status status = found.status();
  if (absl::IsNotFound(status)) return board_.Remove(name);  // its tenant was deleted
  if (found.ok()) {
    const auto copied =
        CopySource(found->spec, OwnerOf(*found), objects_, registry_, options_.copies, clock_,
                   [&] { return stop.stop_requested() || !board_.IsQueued(name); });
    if (stop.stop_requested()) return;
    status = Change(
        name,
        [&](Job& job, Effects& effects) {
          const absl::Time now = clock_.Now();
          if (copied.ok()) return TakeDataset(job, *copied, now, effects);
          return MissDataset(job, std::string(copied.status().message()),
                             IsPassing(copied.status()), options_.retry, now, effects);
        },
        nullptr);
  }
  if (status.ok()) return;
  Log(Severity::kWarning, "copy_failed", {{"job", name.ToString()}, {"error", status}});
  MutexLock lock(mutex_);
  copying_changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(options_.action_retry));
}

void Runner::RegisterLoop(std::stop_token stop) {
  for (;;) {
    JobName name;
    {
      MutexLock lock(mutex_);
      while (to_register_.empty() && !stop.stop_requested()) to_register_changed_.Wait(mutex_);
      if (stop.stop_requested()) return;
      name = std::move(to_register_.front());
      to_register_.pop_front();
    }
    const bool try_again = Register(name);
    {
      MutexLock lock(mutex_);
      news_registered_.push_back({name, try_again});
    }
    board_.Poke();
  }
}

bool Runner::Register(const JobName& name) {
  const absl::StatusOr<Job> job = store_.Get(name);
  absl::Status status = job.status();
  if (job.ok()) {
    if (!job->result.has_value()) return false;
    const absl::StatusOr<std::string> version = MakeVersion(*job);
    if (!version.ok() && IsPassing(version.status())) {
      status = version.status();
    } else {
      status = Change(
          name,
          [&](Job& job, Effects& effects) {
            const absl::Time now = clock_.Now();
            if (version.ok()) return Succeed(job, *version, now, effects);
            return GiveUpResult(job, std::string(version.status().message()), now, effects);
          },
          nullptr);
    }
  }
  if (status.ok()) return false;
  Log(Severity::kWarning, "registration_failed", {{"job", name.ToString()}, {"error", status}});
  return true;
}

absl::Status Runner::CompareWithHeld(const Principal& owner, const Job& job) {
  if (!job.spec.evaluation().has_no_worse_than()) return absl::OkStatus();
  const v1::NoWorseThan& bound = job.spec.evaluation().no_worse_than();
  const AliasName alias{{job.name.tenant, job.spec.model()}, bound.alias()};
  // Where an earlier try got as far as the alias, this is the version that the job itself made.
  const absl::StatusOr<registry::v1::ModelVersion> held =
      registry_.GetVersion(owner, alias, clock_.Now() + options_.registry_timeout);
  if (absl::IsNotFound(held.status())) return absl::OkStatus();
  RETURN_IF_ERROR(held.status());
  return CheckNoWorse(bound, job.metrics, *held);
}

absl::StatusOr<std::string> Runner::MakeVersion(const Job& job) {
  const Principal owner = OwnerOf(job);
  RETURN_IF_ERROR(CompareWithHeld(owner, job));
  registry::v1::ModelVersion version;
  *version.mutable_artifact() = job.result->artifact;
  *version.mutable_signature() = job.result->signature;
  version.mutable_metrics()->insert(job.metrics.begin(), job.metrics.end());
  for (const std::string& label : job.result->labels) version.add_labels(label);
  registry::v1::Lineage& lineage = *version.mutable_lineage();
  lineage.set_job(job.name.ToString());
  lineage.set_dataset(job.dataset.name());
  lineage.set_dataset_digest(job.dataset.digest());
  if (job.base.has_value()) lineage.set_base_version(job.base->name());
  lineage.set_code_version(job.result->code_version);
  lineage.set_seed(job.spec.training().seed());

  const ModelName model{job.name.tenant, job.spec.model()};
  constexpr std::string_view kRefused = "the registry refused the version";
  absl::StatusOr<std::string> made = registry_.CreateVersion(
      owner, model, version, job.name.ToString(), clock_.Now() + options_.registry_timeout);
  if (!made.ok()) return Annotate(made.status(), kRefused);
  if (!job.spec.alias().empty()) {
    const absl::Status moved = registry_.SetAlias(owner, AliasName{model, job.spec.alias()}, *made,
                                                  clock_.Now() + options_.registry_timeout);
    if (!moved.ok()) return Annotate(moved, kRefused);
  }
  Log(Severity::kInfo, "version_registered",
      {{"job", job.name.ToString()}, {"tenant", job.name.tenant}, {"version", *made}});
  return made;
}

}  // namespace slipway::training
