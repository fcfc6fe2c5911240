#ifndef SLIPWAY_SERVICES_TRAINING_JOB_H_
#define SLIPWAY_SERVICES_TRAINING_JOB_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "slipway/training/v1/training.pb.h"

// The life of a job, as pure changes of a value:
//
//   QUEUED -- StartAttempt --> RUNNING -- AcceptResult --> RUNNING, with its result
//   RUNNING -- EndAttempt --> QUEUED (tried again, after a wait), PAUSED, FAILED or CANCELLED
//   RUNNING -- AcceptResult --> FAILED (its metrics stay below the spec's thresholds)
//   RUNNING, with its result -- Succeed --> SUCCEEDED
//   RUNNING, with its result -- GiveUpResult --> FAILED or CANCELLED
//   QUEUED, PAUSED -- RequestCancel --> CANCELLED
//   QUEUED -- RequestPause --> PAUSED
//   PAUSED -- RequestResume --> QUEUED
//   QUEUED, PAUSED, of spec.data.source -- TakeDataset --> the same, with its dataset
//   QUEUED, of spec.data.source -- MissDataset --> QUEUED (tried again, after a wait), FAILED
//   of a trial: RUNNING -- AcceptResult --> SUCCEEDED, with its result
//
// A search has no attempts:
//
//   QUEUED -- StartSearch --> RUNNING -- AdoptResult --> RUNNING, with the result of its best trial
//   RUNNING -- EndSearch --> PAUSED, FAILED or CANCELLED
//   QUEUED, PAUSED -- EndSearch --> CANCELLED
//
// Each change adds the events that tell of it; store them and the job in one transaction. Nothing
// follows the event of a final state.
namespace slipway::training {

/// What a trainer handed in, kept until the registry has taken it.
struct Result {
  registry::v1::Artifact artifact = {};
  registry::v1::Signature signature = {};
  std::map<std::string, double> metrics = {};
  std::vector<std::string> labels = {};
  /// The platform's version that trained it.
  std::string code_version = {};
};

/// A training job as it is kept. A value.
struct Job {
  JobName name;
  /// Grows with each job that is made, over all tenants: first come, first served.
  int64_t order = 0;
  /// The key that asked for it; usage goes to it.
  std::string key_id;
  /// Of the call that made it; empty: it gave none.
  std::string request_id;
  /// SHA-256 of that call, to tell a repetition from another request under the same id.
  std::string request_hash;

  v1::JobSpec spec;
  /// As it was when the job was made: what is trained on is known by digest. With spec.data.source
  /// it has no name until the objects were copied.
  registry::v1::Dataset dataset;
  /// The version that spec.base names.
  std::optional<registry::v1::ModelVersion> base;
  int priority = 0;
  /// Of a trial: the id of its search, and what it tries (index, rung, values).
  std::string search;
  v1::Trial trial;

  v1::TrainingJob::State state = v1::TrainingJob::QUEUED;
  absl::Time create_time;
  std::optional<absl::Time> start_time;
  std::optional<absl::Time> end_time;

  /// Attempts launched; the number of the newest.
  int attempts = 0;
  /// Of these, how many ended by their own fault. A restart of the service is nobody's.
  int failures = 0;
  /// QUEUED: not to be launched earlier.
  absl::Time not_before = absl::InfinitePast();
  /// RUNNING: when the attempt began, and its newest sign of life.
  absl::Time attempt_start;
  absl::Time attempt_seen;
  /// Time that ended attempts took.
  absl::Duration used = absl::ZeroDuration();
  bool cancel_requested = false;
  /// RUNNING: PAUSED follows, unless the attempt hands in its result first.
  bool pause_requested = false;
  /// RUNNING: handed in, to be registered. A trial keeps its own.
  std::optional<Result> result;

  v1::Progress progress;
  std::map<std::string, double> metrics;
  std::string model_version;
  std::string error;

  /// Sequence of the newest event. Grows with every change.
  int64_t last_sequence = 0;
  /// How many progress events and log lines there were.
  int64_t progress_events = 0;
  int64_t log_lines = 0;

  bool finished() const;
  bool lacks_dataset() const { return spec.data().has_source() && dataset.name().empty(); }
  bool is_search() const { return spec.has_search(); }
  bool is_trial() const { return !search.empty(); }
};

/// True for SUCCEEDED, FAILED and CANCELLED.
bool IsFinal(v1::TrainingJob::State state);

/// A metric that a job has handed in; absent where it has no result.
std::optional<double> MetricOf(const Job& job, const std::string& name);

/// What a change leaves beside the job; written with it or not at all.
struct Effects {
  std::vector<v1::Event> events;
  /// Without its cursor, which the store gives.
  std::optional<v1::UsageEvent> usage;
};

/// How often, and after which waits, an attempt is repeated.
struct RetryPolicy {
  /// Failed attempts until the job fails; at least 1.
  int max_failures = 3;
  /// After the first failure; doubles up to `max_backoff`.
  absl::Duration first_backoff = absl::Seconds(2);
  absl::Duration max_backoff = absl::Minutes(2);

  absl::Duration Backoff(int failures) const;
};

/// How an attempt ended without a result.
struct AttemptEnd {
  /// For the job's owner: "the trainer was killed by SIGKILL".
  std::string reason;
  /// Another attempt may do better.
  bool retryable = true;
  /// The platform's doing (it was restarted): no failure of the job, which goes on after `wait`.
  bool interrupted = false;
  absl::Duration wait = absl::ZeroDuration();
  /// How long it ran; absent where nobody knows: until its newest sign of life.
  std::optional<absl::Duration> ran;
  /// The time limit ended it.
  bool out_of_time = false;
  /// Its last words, oldest first.
  std::vector<std::string> last_lines;
};

/// Puts the first event into a job that was just made.
void Enqueue(Job& job, absl::Time now, Effects& effects);

/// QUEUED -> RUNNING, with the next attempt's number. Errors: kAborted in any other state.
absl::Status StartAttempt(Job& job, absl::Time now, Effects& effects);

/// QUEUED, PAUSED -> CANCELLED; RUNNING, and of a search: asks for it. Again: changes nothing.
/// Errors: kFailedPrecondition when the job has succeeded or failed.
absl::Status RequestCancel(Job& job, absl::Time now, Effects& effects);

/// QUEUED -> PAUSED; RUNNING: asks for it. Again: changes nothing.
/// Errors: kFailedPrecondition when the job is over, is being cancelled or has its result.
absl::Status RequestPause(Job& job, absl::Time now, Effects& effects);

/// PAUSED -> QUEUED; RUNNING: takes back what RequestPause asked for. Otherwise changes nothing.
/// Errors: kFailedPrecondition when the job is over.
absl::Status RequestResume(Job& job, absl::Time now, Effects& effects);

/// QUEUED, PAUSED: the objects of spec.data.source are copied. Errors: kAborted in any other state.
absl::Status TakeDataset(Job& job, registry::v1::Dataset dataset, absl::Time now, Effects& effects);

/// QUEUED: they could not be. As a failed attempt: tried again after a wait, or -> FAILED.
/// Errors: kAborted in any other state, and when the job is being cancelled.
absl::Status MissDataset(Job& job, std::string_view reason, bool retryable,
                         const RetryPolicy& policy, absl::Time now, Effects& effects);

/// OK when `attempt` is the one that runs and has handed nothing in: whatever an older one says
/// is void. Errors: kAborted.
absl::Status CheckAttempt(const Job& job, int attempt);

/// What may be reported in one go, and what is kept of it.
inline constexpr int kMaxEventsPerReport = 1000;
inline constexpr size_t kMaxLogTextBytes = 4096;
inline constexpr int64_t kMaxLogLines = 10'000;

/// Adds what a trainer tells: progress, log lines, checkpoints (a state change is the service's to
/// tell: kInvalidArgument). Log text is cut, and lines past kMaxLogLines are dropped.
absl::Status Report(Job& job, const google::protobuf::RepeatedPtrField<v1::Event>& events,
                    absl::Time now, Effects& effects);

/// RUNNING -> QUEUED, PAUSED, FAILED or CANCELLED: the attempt is over, without a result.
/// Errors: kAborted in any other state, or when there is a result.
absl::Status EndAttempt(Job& job, const AttemptEnd& end, const RetryPolicy& policy, absl::Time now,
                        Effects& effects);

/// Keeps the result of the attempt that runs; -> FAILED where the metrics stay below the spec's
/// thresholds ("accuracy 0.85 is below 0.9").
/// Errors: kAborted in any other state, when there is a result, and for a cancelled job.
absl::Status AcceptResult(Job& job, Result result, absl::Time now, Effects& effects);

/// QUEUED -> RUNNING: trials follow. Errors: kAborted in any other state.
absl::Status StartSearch(Job& search, absl::Time now, Effects& effects);

/// Tells of a trial that is over: `told` of `all` are by now.
void TellOfTrial(Job& search, std::string_view text, int64_t told, int64_t all, absl::Time now,
                 Effects& effects);

/// Takes the best trial's result over, as AcceptResult takes one. Errors: as there.
absl::Status AdoptResult(Job& search, const Job& trial, absl::Time now, Effects& effects);

/// -> `state`: PAUSED, FAILED or CANCELLED. Errors: kAborted when the search is over or has a
/// result.
absl::Status EndSearch(Job& search, v1::TrainingJob::State state, std::string_view reason,
                       absl::Time now, Effects& effects);

/// The result is registered as `model_version`: -> SUCCEEDED.
/// Errors: kAborted without a result.
absl::Status Succeed(Job& job, std::string model_version, absl::Time now, Effects& effects);

/// The result will never be registered: -> FAILED, or CANCELLED where that was asked for.
/// Errors: kAborted without a result.
absl::Status GiveUpResult(Job& job, std::string_view reason, absl::Time now, Effects& effects);

/// Its spec, with the id of its dataset where objects became one that the platform has named.
v1::JobSpec SpecOf(const Job& job);

/// The job as callers see it.
v1::TrainingJob ToProto(const Job& job);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_JOB_H_
