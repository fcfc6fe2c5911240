#ifndef SLIPWAY_SERVICES_TRAINING_RUNNER_H_
#define SLIPWAY_SERVICES_TRAINING_RUNNER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/training/board.h"
#include "services/training/event_bell.h"
#include "services/training/job.h"
#include "services/training/job_store.h"
#include "services/training/launcher.h"
#include "services/training/model_registry.h"
#include "services/training/objects/copy_source.h"
#include "services/training/objects/object_stores.h"
#include "services/training/reconcile.h"
#include "services/training/search/search.h"

namespace slipway::training {

struct RunnerOptions {
  SchedulingPolicy scheduling;
  RetryPolicy retry;
  /// For one call to the registry.
  absl::Duration registry_timeout = absl::Seconds(30);
  CopyLimits copies = {};
  /// Between tries of what could not be done (a full disk).
  absl::Duration action_retry = absl::Seconds(1);
};

/// Runs the jobs: does what Reconcile says. A search makes its trials one after another: which ones
/// follows from its spec and from those that there are, so that it goes on after a restart as if
/// there had been none. Three threads: the loop owns the trainers; the registrar makes versions of
/// results, since the registry may take its time; the copier makes datasets of objects.
///
/// A trainer dies with this process. After a restart its job is found RUNNING without a trainer,
/// and goes on with its next attempt, which finds the checkpoints of the one before. A result that
/// was handed in is kept with the job, and registered under the job's name as request id: a crash
/// between registering and marking makes no second version.
class Runner {
 public:
  /// All arguments outlive this.
  Runner(JobStore& store, Launcher& launcher, ModelRegistry& registry, const ObjectStores& objects,
         Board& board, EventBell& bell, const Clock& clock, const RunnerOptions& options);
  /// Stop().
  ~Runner();

  /// Takes up the jobs that are not over, and begins. Once. Errors: the store's.
  absl::Status Start();

  /// Asks all trainers to stop, kills those that have not after the grace, and returns when none
  /// runs. Their jobs stay RUNNING: the next Start() goes on with them. Launches nothing more.
  void Stop();

 private:
  struct LiveTrainer {
    int attempt = 0;
    int processes = 1;
    std::unique_ptr<Trainer> trainer;
    absl::Duration started;
    std::optional<absl::Duration> stop_asked;
    bool killed = false;
  };
  struct EndedAttempt {
    int attempt = 0;
    TrainerEnd end;
    absl::Duration ended;  // monotonic
    absl::Duration ran = absl::ZeroDuration();
    // Before the next one, where this one was interrupted.
    absl::Duration wait = absl::ZeroDuration();
  };
  struct Registration {
    JobName job;
    bool try_again = false;
  };

  // ---- The loop's thread. ----
  void Loop(std::stop_token stop);
  void TakeNews();
  Running Observe();
  absl::Status Act(const Action& action);
  absl::Status Launch(const JobName& name, int processes);
  absl::Status Settle(const JobName& name);
  absl::Status Step(const JobName& name);
  absl::Status BeginTrial(const Job& search, const Search& trials, const NewTrial& trial,
                          std::vector<JobName>& waits);
  absl::Status Discard(const JobName& name);
  void StopTrainers();

  // ---- The registrar's thread. ----
  void RegisterLoop(std::stop_token stop);
  // True when it has to be tried again.
  bool Register(const JobName& name);
  // Holds the result against the version that spec.evaluation.no_worse_than names.
  absl::Status CompareWithHeld(const Principal& owner, const Job& job);
  absl::StatusOr<std::string> MakeVersion(const Job& job);

  // ---- The copier's thread. ----
  void CopyLoop(std::stop_token stop);
  void Copy(const JobName& name, const std::stop_token& stop);

  // ---- Each of them. ----
  // Changes the job and shows it. A change that came too late (kAborted) shows the job as it is
  // and is OK; so is one of a job that is no more, which leaves the board.
  absl::Status Change(const JobName& name, absl::FunctionRef<absl::Status(Job&, Effects&)> change,
                      Job* changed);

  JobStore& store_;
  Launcher& launcher_;
  ModelRegistry& registry_;
  const ObjectStores& objects_;
  Board& board_;
  EventBell& bell_;
  const Clock& clock_;
  const RunnerOptions options_;

  // The loop's own.
  std::map<JobName, LiveTrainer> trainers_;
  std::map<JobName, EndedAttempt> ended_;
  std::set<JobName> registering_;
  std::map<JobName, absl::Time> register_not_before_;
  std::map<JobName, int> register_failures_;
  std::map<JobName, std::vector<JobName>> search_waits_;
  std::map<std::string, int64_t> last_launch_;
  std::map<std::string, int64_t> last_copy_;
  int64_t launches_ = 0;  // and copies

  Mutex mutex_;
  CondVar to_register_changed_;
  std::vector<std::pair<JobName, EndedAttempt>> news_ended_ GUARDED_BY(mutex_);
  std::vector<Registration> news_registered_ GUARDED_BY(mutex_);
  std::deque<JobName> to_register_ GUARDED_BY(mutex_);
  CondVar copying_changed_;
  std::optional<JobName> copying_ GUARDED_BY(mutex_);

  // Last, so that they end first.
  std::jthread copier_;
  std::jthread registrar_;
  std::jthread loop_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_RUNNER_H_
