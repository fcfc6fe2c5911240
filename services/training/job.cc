#include "services/training/job.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "services/training/clean_text.h"
#include "services/training/spec/gates.h"

namespace slipway::training {
namespace {

using v1::TrainingJob;

v1::Event& AddEvent(Job& job, absl::Time now, Effects& effects) {
  v1::Event& event = effects.events.emplace_back();
  event.set_sequence(++job.last_sequence);
  event.set_attempt(job.attempts);
  *event.mutable_time() = ToTimestamp(now);
  return event;
}

void AddLogLine(Job& job, absl::Time now, std::string_view severity, std::string_view text,
                Effects& effects) {
  v1::Event::LogLine& log = *AddEvent(job, now, effects).mutable_log();
  log.set_severity(std::string(severity));
  log.set_text(CleanText(text, kMaxLogTextBytes));
}

void MoveTo(TrainingJob::State state, Job& job, std::string_view reason, absl::Time now,
            Effects& effects) {
  job.state = state;
  v1::Event::StateChange& change = *AddEvent(job, now, effects).mutable_state_change();
  change.set_state(state);
  change.set_reason(std::string(reason));
  if (!IsFinal(state)) return;

  job.end_time = now;
  if (!job.is_trial()) job.result.reset();
  job.progress.set_remaining_seconds(0);
  if (state == TrainingJob::FAILED) job.error = std::string(reason);
  if (job.attempts == 0) return;
  v1::UsageEvent& usage = effects.usage.emplace();
  *usage.mutable_time() = ToTimestamp(now);
  usage.set_tenant(job.name.tenant);
  usage.set_key_id(job.key_id);
  usage.set_kind("training_seconds");
  usage.set_quantity(absl::ToDoubleSeconds(job.used) *
                     std::max(1, job.spec.resources().processes()));
  usage.set_resource(job.name.ToString());
}

absl::Status Unexpected(const Job& job, std::string_view change) {
  return absl::AbortedError(fmt::format("{} cannot {}: it is {}{}", job.name.ToString(), change,
                                        TrainingJob::State_Name(job.state),
                                        job.result.has_value() ? " and has its result" : ""));
}

// To another attempt, after a wait; or aside, where that was asked for.
void StepBack(Job& job, absl::Duration wait, std::string_view reason, absl::Time now,
              Effects& effects) {
  job.not_before = now + wait;
  if (std::exchange(job.pause_requested, false)) {
    MoveTo(TrainingJob::PAUSED, job, "paused by request", now, effects);
  } else {
    MoveTo(TrainingJob::QUEUED, job, reason, now, effects);
  }
}

// To another try, unless there were too many or none would help.
void CountFailure(Job& job, const std::string& reason, bool retryable, const RetryPolicy& policy,
                  absl::Time now, Effects& effects) {
  ++job.failures;
  if (!retryable) {
    MoveTo(TrainingJob::FAILED, job, reason, now, effects);
  } else if (job.failures >= policy.max_failures) {
    MoveTo(TrainingJob::FAILED, job,
           policy.max_failures > 1
               ? fmt::format("{} failed attempts; the last one: {}", job.failures, reason)
               : reason,
           now, effects);
  } else {
    const absl::Duration wait = policy.Backoff(job.failures);
    StepBack(job, wait,
             fmt::format("{}; tried again in {:.3g} s", reason, absl::ToDoubleSeconds(wait)), now,
             effects);
  }
}

// Metrics below the spec's thresholds end the job.
void KeepResult(Job& job, Result result, absl::Time now, Effects& effects) {
  job.metrics = result.metrics;
  if (const absl::Status kept = CheckThresholds(job.spec.evaluation(), result.metrics);
      !kept.ok()) {
    return MoveTo(TrainingJob::FAILED, job, std::string(kept.message()), now, effects);
  }
  job.pause_requested = false;
  job.result = std::move(result);
  if (job.is_trial()) {
    return MoveTo(TrainingJob::SUCCEEDED, job, "kept for its search", now, effects);
  }
  job.progress.set_phase("registering");
  job.progress.set_remaining_seconds(0);
  ++job.progress_events;
  *AddEvent(job, now, effects).mutable_progress() = job.progress;
}

absl::Status IsOver(const Job& job, std::string_view change) {
  return absl::FailedPreconditionError(
      fmt::format("{} cannot be {}: it {}", job.name.ToString(), change,
                  job.state == TrainingJob::SUCCEEDED ? "has succeeded"
                  : job.state == TrainingJob::FAILED  ? "has failed"
                                                      : "was cancelled"));
}

bool IsLogSeverity(const std::string& severity) {
  return severity == "debug" || severity == "info" || severity == "warning" || severity == "error";
}

}  // namespace

bool IsFinal(TrainingJob::State state) {
  return state == TrainingJob::SUCCEEDED || state == TrainingJob::FAILED ||
         state == TrainingJob::CANCELLED;
}

bool Job::finished() const { return IsFinal(state); }

std::optional<double> MetricOf(const Job& job, const std::string& name) {
  const auto metric = job.metrics.find(name);
  if (job.state != TrainingJob::SUCCEEDED || metric == job.metrics.end()) return std::nullopt;
  return metric->second;
}

absl::Duration RetryPolicy::Backoff(int failures) const {
  return std::min(max_backoff, first_backoff * std::ldexp(1.0, std::clamp(failures - 1, 0, 40)));
}

void Enqueue(Job& job, absl::Time now, Effects& effects) {
  MoveTo(TrainingJob::QUEUED, job, "submitted", now, effects);
}

absl::Status StartAttempt(Job& job, absl::Time now, Effects& effects) {
  if (job.state != TrainingJob::QUEUED) return Unexpected(job, "start");
  ++job.attempts;
  job.attempt_start = now;
  job.attempt_seen = now;
  if (!job.start_time.has_value()) job.start_time = now;
  MoveTo(TrainingJob::RUNNING, job, fmt::format("attempt {} begins", job.attempts), now, effects);
  return absl::OkStatus();
}

absl::Status RequestCancel(Job& job, absl::Time now, Effects& effects) {
  if (job.state == TrainingJob::SUCCEEDED || job.state == TrainingJob::FAILED) {
    return IsOver(job, "cancelled");
  }
  if (job.cancel_requested) return absl::OkStatus();
  job.cancel_requested = true;
  // A search has its trials to end first.
  if (job.state == TrainingJob::RUNNING || job.is_search()) {
    AddLogLine(job, now, "info", "cancellation requested", effects);
  } else {
    MoveTo(TrainingJob::CANCELLED, job, "cancelled by request", now, effects);
  }
  return absl::OkStatus();
}

absl::Status RequestPause(Job& job, absl::Time now, Effects& effects) {
  if (job.finished()) return IsOver(job, "paused");
  if (job.cancel_requested || job.result.has_value()) {
    return absl::FailedPreconditionError(
        fmt::format("{} cannot be paused: it is being {}", job.name.ToString(),
                    job.cancel_requested ? "cancelled" : "registered"));
  }
  if (job.state == TrainingJob::QUEUED) {
    MoveTo(TrainingJob::PAUSED, job, "paused by request", now, effects);
  } else if (job.state == TrainingJob::RUNNING && !std::exchange(job.pause_requested, true)) {
    AddLogLine(job, now, "info", "pause requested", effects);
  }
  return absl::OkStatus();
}

absl::Status RequestResume(Job& job, absl::Time now, Effects& effects) {
  if (job.finished()) return IsOver(job, "resumed");
  if (job.state == TrainingJob::PAUSED) {
    job.not_before = absl::InfinitePast();
    MoveTo(TrainingJob::QUEUED, job, "resumed by request", now, effects);
  } else if (std::exchange(job.pause_requested, false)) {
    AddLogLine(job, now, "info", "resumed by request", effects);
  }
  return absl::OkStatus();
}

absl::Status CheckAttempt(const Job& job, int attempt) {
  if (job.state != TrainingJob::RUNNING || job.attempts != attempt) {
    return absl::AbortedError(fmt::format("attempt {} of {} is over: the job is {}, at attempt {}",
                                          attempt, job.name.ToString(),
                                          TrainingJob::State_Name(job.state), job.attempts));
  }
  if (job.result.has_value()) {
    return absl::AbortedError(
        fmt::format("attempt {} of {} has handed in its result", attempt, job.name.ToString()));
  }
  return absl::OkStatus();
}

absl::Status Report(Job& job, const google::protobuf::RepeatedPtrField<v1::Event>& events,
                    absl::Time now, Effects& effects) {
  if (events.size() > kMaxEventsPerReport) {
    return InvalidField(
        "events", fmt::format("must be at most {}, got {}", kMaxEventsPerReport, events.size()));
  }
  job.attempt_seen = now;
  for (int i = 0; i < events.size(); ++i) {
    switch (events[i].what_case()) {
      case v1::Event::kProgress:
        job.progress = events[i].progress();
        ++job.progress_events;
        *AddEvent(job, now, effects).mutable_progress() = events[i].progress();
        break;
      case v1::Event::kLog:
        if (!IsLogSeverity(events[i].log().severity())) {
          return InvalidField(fmt::format("events[{}].log.severity", i),
                              "must be one of debug, info, warning, error");
        }
        if (++job.log_lines < kMaxLogLines) {
          AddLogLine(job, now, events[i].log().severity(), events[i].log().text(), effects);
        } else if (job.log_lines == kMaxLogLines) {
          AddLogLine(job, now, "warning",
                     fmt::format("further log lines are dropped: the job has {}", kMaxLogLines),
                     effects);
        }
        break;
      case v1::Event::kCheckpoint:
        *AddEvent(job, now, effects).mutable_checkpoint() = events[i].checkpoint();
        break;
      case v1::Event::kStateChange:
      case v1::Event::WHAT_NOT_SET:
        return InvalidField(fmt::format("events[{}]", i),
                            "must be progress, a log line or a checkpoint");
    }
  }
  return absl::OkStatus();
}

absl::Status EndAttempt(Job& job, const AttemptEnd& end, const RetryPolicy& policy, absl::Time now,
                        Effects& effects) {
  if (job.state != TrainingJob::RUNNING || job.result.has_value()) {
    return Unexpected(job, "end its attempt");
  }
  job.used +=
      std::max(absl::ZeroDuration(), end.ran.value_or(job.attempt_seen - job.attempt_start));
  for (const std::string& line : end.last_lines) AddLogLine(job, now, "error", line, effects);

  if (job.cancel_requested) {
    MoveTo(TrainingJob::CANCELLED, job, "cancelled by request", now, effects);
    return absl::OkStatus();
  }
  if (end.out_of_time) {
    MoveTo(TrainingJob::FAILED, job, end.reason, now, effects);
    return absl::OkStatus();
  }
  if (end.interrupted) {
    StepBack(job, end.wait, end.reason, now, effects);
    return absl::OkStatus();
  }
  CountFailure(job, end.reason, end.retryable, policy, now, effects);
  return absl::OkStatus();
}

absl::Status TakeDataset(Job& job, registry::v1::Dataset dataset, absl::Time now,
                         Effects& effects) {
  if (job.state != TrainingJob::QUEUED && job.state != TrainingJob::PAUSED) {
    return Unexpected(job, "take its dataset");
  }
  job.dataset = std::move(dataset);
  AddLogLine(job, now, "info",
             fmt::format("copied {} objects into {}, {}", job.dataset.files_size(),
                         job.dataset.name(), job.dataset.digest()),
             effects);
  return absl::OkStatus();
}

absl::Status MissDataset(Job& job, std::string_view reason, bool retryable,
                         const RetryPolicy& policy, absl::Time now, Effects& effects) {
  if (job.state != TrainingJob::QUEUED || job.cancel_requested) {
    return Unexpected(job, "miss its dataset");
  }
  CountFailure(job, fmt::format("the data could not be copied: {}", reason), retryable, policy, now,
               effects);
  return absl::OkStatus();
}

absl::Status AcceptResult(Job& job, Result result, absl::Time now, Effects& effects) {
  if (job.state != TrainingJob::RUNNING || job.result.has_value()) {
    return Unexpected(job, "take a result");
  }
  if (job.cancel_requested) {
    return absl::AbortedError(fmt::format("{} was cancelled", job.name.ToString()));
  }
  job.used += std::max(absl::ZeroDuration(), now - job.attempt_start);
  job.attempt_seen = now;
  KeepResult(job, std::move(result), now, effects);
  return absl::OkStatus();
}

absl::Status StartSearch(Job& search, absl::Time now, Effects& effects) {
  if (search.state != TrainingJob::QUEUED) return Unexpected(search, "start");
  if (!search.start_time.has_value()) search.start_time = now;
  search.progress.set_phase("searching");
  MoveTo(TrainingJob::RUNNING, search, "trials begin", now, effects);
  return absl::OkStatus();
}

void TellOfTrial(Job& search, std::string_view text, int64_t told, int64_t all, absl::Time now,
                 Effects& effects) {
  AddLogLine(search, now, "info", text, effects);
  search.progress.set_step(told);
  search.progress.set_steps(all);
  ++search.progress_events;
  *AddEvent(search, now, effects).mutable_progress() = search.progress;
}

absl::Status AdoptResult(Job& search, const Job& trial, absl::Time now, Effects& effects) {
  if (search.state != TrainingJob::RUNNING || search.result.has_value()) {
    return Unexpected(search, "take a result");
  }
  if (search.cancel_requested) {
    return absl::AbortedError(fmt::format("{} was cancelled", search.name.ToString()));
  }
  AddLogLine(search, now, "info", fmt::format("the best trial is {}", trial.name.ToString()),
             effects);
  KeepResult(search, *trial.result, now, effects);
  return absl::OkStatus();
}

absl::Status EndSearch(Job& search, TrainingJob::State state, std::string_view reason,
                       absl::Time now, Effects& effects) {
  if (search.finished() || search.result.has_value()) return Unexpected(search, "end");
  search.pause_requested = false;
  MoveTo(state, search, reason, now, effects);
  return absl::OkStatus();
}

absl::Status Succeed(Job& job, std::string model_version, absl::Time now, Effects& effects) {
  if (job.state != TrainingJob::RUNNING || !job.result.has_value()) {
    return Unexpected(job, "succeed");
  }
  job.model_version = std::move(model_version);
  MoveTo(TrainingJob::SUCCEEDED, job, fmt::format("registered {}", job.model_version), now,
         effects);
  return absl::OkStatus();
}

absl::Status GiveUpResult(Job& job, std::string_view reason, absl::Time now, Effects& effects) {
  if (job.state != TrainingJob::RUNNING || !job.result.has_value()) {
    return Unexpected(job, "give up its result");
  }
  if (job.cancel_requested) {
    MoveTo(TrainingJob::CANCELLED, job, "cancelled by request", now, effects);
  } else {
    MoveTo(TrainingJob::FAILED, job, reason, now, effects);
  }
  return absl::OkStatus();
}

v1::JobSpec SpecOf(const Job& job) {
  v1::JobSpec spec = job.spec;
  const std::string& dataset = job.dataset.name();
  if (spec.dataset().empty()) spec.set_dataset(dataset.substr(dataset.rfind('/') + 1));
  return spec;
}

TrainingJob ToProto(const Job& job) {
  TrainingJob out;
  out.set_name(job.name.ToString());
  *out.mutable_spec() = SpecOf(job);
  out.set_state(job.state);
  *out.mutable_create_time() = ToTimestamp(job.create_time);
  if (job.start_time.has_value()) *out.mutable_start_time() = ToTimestamp(*job.start_time);
  if (job.end_time.has_value()) *out.mutable_end_time() = ToTimestamp(*job.end_time);
  out.set_attempts(job.attempts);
  if (job.attempts > 0 || job.is_search()) *out.mutable_progress() = job.progress;
  out.mutable_metrics()->insert(job.metrics.begin(), job.metrics.end());
  out.set_model_version(job.model_version);
  out.set_error(job.error);
  out.set_priority(job.priority);
  out.set_cancel_requested(job.cancel_requested);
  out.set_pause_requested(job.pause_requested);
  if (job.is_trial()) out.set_search(JobName{job.name.tenant, job.search}.ToString());
  return out;
}

}  // namespace slipway::training
