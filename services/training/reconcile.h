#ifndef SLIPWAY_SERVICES_TRAINING_RECONCILE_H_
#define SLIPWAY_SERVICES_TRAINING_RECONCILE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "common/names/names.h"
#include "services/training/job.h"

// The one decision of scheduling: from the jobs that are not over and what runs for them, what to
// do next. Pure: no clock, no I/O. Level-triggered: it looks at the state alone, so that a lost
// event or a restart changes nothing. Idempotent: once what runs shows an action's effect, the
// action is not asked for again.
namespace slipway::training {

struct SchedulingPolicy {
  /// Trainers at once, each process of a job as one: of all tenants, and of each one (0: as many as
  /// of all).
  int max_trainers = 1;
  int max_trainers_per_tenant = 0;
  /// A trainer that ran for less is not stopped to make room: it would lose what it has begun.
  absl::Duration min_run = absl::Minutes(1);
  /// Between SIGTERM and SIGKILL.
  absl::Duration stop_grace = absl::Seconds(10);
  /// The longest wait that a job may ever have had: a `not_before` beyond it comes from a clock
  /// that was set back, and does not hold.
  absl::Duration max_wait = absl::Minutes(2);
  /// Where a spec gives no limit.
  absl::Duration default_time_limit = absl::Hours(24);
};

/// What scheduling knows of a job.
struct QueuedJob {
  JobName name;
  int64_t order = 0;
  int priority = 0;
  /// Trainers that it wants to share its work.
  int processes = 1;
  v1::TrainingJob::State state = v1::TrainingJob::QUEUED;
  int attempt = 0;
  absl::Time not_before = absl::InfinitePast();
  bool cancel_requested = false;
  bool pause_requested = false;
  bool has_result = false;
  bool is_search = false;
  /// Its data is to be copied first.
  bool lacks_dataset = false;
  /// Time that ended attempts took.
  absl::Duration used = absl::ZeroDuration();
  /// Zero: the policy's.
  absl::Duration time_limit = absl::ZeroDuration();

  bool operator==(const QueuedJob&) const = default;
};

/// The jobs that are not over, and those over whose leftovers are still there; in any order.
struct Queue {
  std::vector<QueuedJob> jobs = {};
  SchedulingPolicy policy = {};
};

/// The trainers of an attempt: they start, stop and end together.
struct RunningTrainer {
  JobName job;
  int attempt = 0;
  int processes = 1;
  /// Since its start.
  absl::Duration ran = absl::ZeroDuration();
  /// Since it was asked to stop.
  std::optional<absl::Duration> stopping;
  bool killed = false;
};

struct Running {
  std::vector<RunningTrainer> trainers = {};
  /// Results that are on their way to the registry.
  std::set<JobName> registering = {};
  /// Results that the registry could not take; when to try again.
  std::map<JobName, absl::Time> register_not_before = {};
  /// The job whose data is being copied, and which tenant's was copied when, as last_launch.
  std::optional<JobName> copying = {};
  std::map<std::string, int64_t> last_copy = {};
  /// The trials that a search waits for since it last looked; absent: it has not looked yet.
  std::map<JobName, std::vector<JobName>> search_waits = {};
  /// Grows with each launch: which tenant was served when. Absent: longest ago.
  std::map<std::string, int64_t> last_launch = {};
};

struct LaunchTrainer {
  JobName job;
  int processes = 1;
  bool operator==(const LaunchTrainer&) const = default;
};
/// SIGTERM.
struct StopTrainer {
  JobName job;
  int attempt = 0;
  bool operator==(const StopTrainer&) const = default;
};
/// SIGKILL.
struct KillTrainer {
  JobName job;
  int attempt = 0;
  bool operator==(const KillTrainer&) const = default;
};
/// The job runs, its trainer does not: settle how the attempt ended.
struct SettleAttempt {
  JobName job;
  bool operator==(const SettleAttempt&) const = default;
};
/// The objects of spec.data.source become a dataset.
struct CopyObjects {
  JobName job;
  bool operator==(const CopyObjects&) const = default;
};
struct RegisterResult {
  JobName job;
  bool operator==(const RegisterResult&) const = default;
};
/// A cancelled job's result is dropped.
struct DropResult {
  JobName job;
  bool operator==(const DropResult&) const = default;
};
/// Something is to be done for a search: trials are over, or it was asked for something.
struct StepSearch {
  JobName job;
  bool operator==(const StepSearch&) const = default;
};
/// The job is over and nothing runs for it: its files go.
struct DiscardFiles {
  JobName job;
  bool operator==(const DiscardFiles&) const = default;
};
using Action = std::variant<LaunchTrainer, StopTrainer, KillTrainer, SettleAttempt, CopyObjects,
                            RegisterResult, DropResult, StepSearch, DiscardFiles>;

/// One line for a log or a failed test.
std::string ToString(const Action& action);

/// How long the job's attempts may take, all together.
absl::Duration TimeLimit(const QueuedJob& job, const SchedulingPolicy& policy);

/// How many trainers the job gets: as many as it wants, and no more than may ever run at once.
int ProcessesOf(const QueuedJob& job, const SchedulingPolicy& policy);

/// What to do now, in this order. Any thread.
///
/// - A trainer whose attempt is over, cancelled, paused or out of time is asked to stop, then
///   killed.
/// - Of the tenants that wait, the one with the fewest trainers comes first, then the one that
///   was served longest ago: a tenant with a thousand jobs holds up no other. Within a tenant the
///   higher priority comes first, then the older job. (A priority is the caller's own word, hence
///   no rank between tenants.)
/// - Where no trainer is free, one is stopped for a job that waits: one of the same tenant with a
///   lower priority (the lowest, of these the newest), or else the newest of the tenant with the
///   most trainers, where that one keeps no less than the tenant that waits has then. The stopped
///   job goes on from its checkpoint when its turn comes.
/// - The trainers of a job start together or not at all. Where it is a job's turn and there is not
///   room for all of them, the room that there is is kept for it: smaller jobs do not slip past.
/// - A search has no trainer: its trials are jobs like any other. It takes a step whenever one of
///   those that it waits for is over, and until what it was asked for has reached all of them.
/// - Objects are copied for one job at a time, in the order in which trainers would be given; until
///   then the job waits, and a search begins no trial.
/// - A job is not launched while a trainer of an earlier attempt lives: they share checkpoints.
std::vector<Action> Reconcile(const Queue& queue, const Running& running, absl::Time now);

/// When Reconcile may say something new though nothing happens, or InfiniteFuture.
absl::Time NextWake(const Queue& queue, const Running& running, absl::Time now);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_RECONCILE_H_
