#include "services/training/job.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using v1::TrainingJob;

const absl::Time kT0 = absl::FromUnixSeconds(1'700'000'000);

Job Queued() {
  Job job;
  job.name = {"acme", "j1"};
  job.key_id = "k1";
  job.create_time = kT0;
  Effects effects;
  Enqueue(job, kT0, effects);
  return job;
}

Job InAttempt(int attempts = 1) {
  Job job = Queued();
  for (int i = 0; i < attempts; ++i) {
    job.state = TrainingJob::QUEUED;
    Effects effects;
    EXPECT_TRUE(StartAttempt(job, kT0, effects).ok());
  }
  return job;
}

Job WithResult() {
  Job job = InAttempt();
  Effects effects;
  Result result;
  result.metrics = {{"accuracy", 0.95}};
  EXPECT_TRUE(AcceptResult(job, result, kT0 + absl::Seconds(10), effects).ok());
  return job;
}

Job Finished(TrainingJob::State state) {
  Job job = InAttempt();
  job.state = state;
  return job;
}

AttemptEnd Crash() {
  AttemptEnd end;
  end.reason = "the trainer was killed by SIGKILL";
  end.ran = absl::Seconds(10);
  return end;
}

google::protobuf::RepeatedPtrField<v1::Event> Events(const std::vector<v1::Event>& events) {
  return {events.begin(), events.end()};
}

v1::Event LogEvent(const std::string& text, const std::string& severity = "info") {
  v1::Event event;
  event.mutable_log()->set_severity(severity);
  event.mutable_log()->set_text(text);
  return event;
}

// ---- The state machine: every change from every state. ----

enum class Change { kStart, kCancel, kPause, kResume, kEnd, kResult, kSucceed, kGiveUp };

absl::Status Apply(Change change, Job& job, Effects& effects) {
  const absl::Time now = kT0 + absl::Seconds(20);
  switch (change) {
    case Change::kStart:
      return StartAttempt(job, now, effects);
    case Change::kCancel:
      return RequestCancel(job, now, effects);
    case Change::kPause:
      return RequestPause(job, now, effects);
    case Change::kResume:
      return RequestResume(job, now, effects);
    case Change::kEnd:
      return EndAttempt(job, Crash(), {}, now, effects);
    case Change::kResult:
      return AcceptResult(job, {}, now, effects);
    case Change::kSucceed:
      return Succeed(job, "tenants/acme/models/m/versions/1", now, effects);
    case Change::kGiveUp:
      return GiveUpResult(job, "refused", now, effects);
  }
  return absl::InternalError("no such change");
}

struct Transition {
  const char* from;
  std::function<Job()> make;
  Change change;
  TrainingJob::State to;
  absl::StatusCode code = absl::StatusCode::kOk;
};

TEST(JobStateTest, EveryChangeFromEveryState) {
  using enum Change;
  constexpr auto kAborted = absl::StatusCode::kAborted;
  constexpr auto kTooLate = absl::StatusCode::kFailedPrecondition;
  const auto succeeded = [] { return Finished(TrainingJob::SUCCEEDED); };
  const auto failed = [] { return Finished(TrainingJob::FAILED); };
  const auto cancelled = [] {
    Job job = Queued();
    Effects effects;
    EXPECT_TRUE(RequestCancel(job, kT0, effects).ok());
    return job;
  };
  const auto running = [] { return InAttempt(); };
  const auto paused = [] {
    Job job = Queued();
    Effects effects;
    EXPECT_TRUE(RequestPause(job, kT0, effects).ok());
    return job;
  };
  const auto pausing = [] {
    Job job = InAttempt();
    Effects effects;
    EXPECT_TRUE(RequestPause(job, kT0, effects).ok());
    return job;
  };
  const Transition table[] = {
      {"queued", Queued, kStart, TrainingJob::RUNNING},
      {"queued", Queued, kCancel, TrainingJob::CANCELLED},
      {"queued", Queued, kPause, TrainingJob::PAUSED},
      {"queued", Queued, kResume, TrainingJob::QUEUED},
      {"queued", Queued, kEnd, TrainingJob::QUEUED, kAborted},
      {"queued", Queued, kResult, TrainingJob::QUEUED, kAborted},
      {"queued", Queued, kSucceed, TrainingJob::QUEUED, kAborted},
      {"queued", Queued, kGiveUp, TrainingJob::QUEUED, kAborted},

      {"running", running, kStart, TrainingJob::RUNNING, kAborted},
      {"running", running, kCancel, TrainingJob::RUNNING},
      {"running", running, kPause, TrainingJob::RUNNING},
      {"running", running, kResume, TrainingJob::RUNNING},
      {"running", running, kEnd, TrainingJob::QUEUED},
      {"running", running, kResult, TrainingJob::RUNNING},
      {"running", running, kSucceed, TrainingJob::RUNNING, kAborted},
      {"running", running, kGiveUp, TrainingJob::RUNNING, kAborted},

      {"pausing", pausing, kCancel, TrainingJob::RUNNING},
      {"pausing", pausing, kPause, TrainingJob::RUNNING},
      {"pausing", pausing, kResume, TrainingJob::RUNNING},
      {"pausing", pausing, kEnd, TrainingJob::PAUSED},
      {"pausing", pausing, kResult, TrainingJob::RUNNING},

      {"paused", paused, kStart, TrainingJob::PAUSED, kAborted},
      {"paused", paused, kCancel, TrainingJob::CANCELLED},
      {"paused", paused, kPause, TrainingJob::PAUSED},
      {"paused", paused, kResume, TrainingJob::QUEUED},
      {"paused", paused, kEnd, TrainingJob::PAUSED, kAborted},
      {"paused", paused, kResult, TrainingJob::PAUSED, kAborted},
      {"paused", paused, kSucceed, TrainingJob::PAUSED, kAborted},
      {"paused", paused, kGiveUp, TrainingJob::PAUSED, kAborted},

      {"with result", WithResult, kPause, TrainingJob::RUNNING, kTooLate},
      {"with result", WithResult, kResume, TrainingJob::RUNNING},
      {"with result", WithResult, kStart, TrainingJob::RUNNING, kAborted},
      {"with result", WithResult, kCancel, TrainingJob::RUNNING},
      {"with result", WithResult, kEnd, TrainingJob::RUNNING, kAborted},
      {"with result", WithResult, kResult, TrainingJob::RUNNING, kAborted},
      {"with result", WithResult, kSucceed, TrainingJob::SUCCEEDED},
      {"with result", WithResult, kGiveUp, TrainingJob::FAILED},

      {"succeeded", succeeded, kStart, TrainingJob::SUCCEEDED, kAborted},
      {"succeeded", succeeded, kPause, TrainingJob::SUCCEEDED, kTooLate},
      {"succeeded", succeeded, kResume, TrainingJob::SUCCEEDED, kTooLate},
      {"succeeded", succeeded, kCancel, TrainingJob::SUCCEEDED, kTooLate},
      {"succeeded", succeeded, kEnd, TrainingJob::SUCCEEDED, kAborted},
      {"succeeded", succeeded, kResult, TrainingJob::SUCCEEDED, kAborted},
      {"succeeded", succeeded, kSucceed, TrainingJob::SUCCEEDED, kAborted},
      {"succeeded", succeeded, kGiveUp, TrainingJob::SUCCEEDED, kAborted},

      {"failed", failed, kStart, TrainingJob::FAILED, kAborted},
      {"failed", failed, kPause, TrainingJob::FAILED, kTooLate},
      {"failed", failed, kResume, TrainingJob::FAILED, kTooLate},
      {"failed", failed, kCancel, TrainingJob::FAILED, kTooLate},
      {"failed", failed, kEnd, TrainingJob::FAILED, kAborted},
      {"failed", failed, kResult, TrainingJob::FAILED, kAborted},
      {"failed", failed, kSucceed, TrainingJob::FAILED, kAborted},
      {"failed", failed, kGiveUp, TrainingJob::FAILED, kAborted},

      {"cancelled", cancelled, kStart, TrainingJob::CANCELLED, kAborted},
      {"cancelled", cancelled, kPause, TrainingJob::CANCELLED, kTooLate},
      {"cancelled", cancelled, kResume, TrainingJob::CANCELLED, kTooLate},
      {"cancelled", cancelled, kCancel, TrainingJob::CANCELLED},
      {"cancelled", cancelled, kEnd, TrainingJob::CANCELLED, kAborted},
      {"cancelled", cancelled, kResult, TrainingJob::CANCELLED, kAborted},
      {"cancelled", cancelled, kSucceed, TrainingJob::CANCELLED, kAborted},
      {"cancelled", cancelled, kGiveUp, TrainingJob::CANCELLED, kAborted},
  };
  for (const Transition& row : table) {
    SCOPED_TRACE(std::string(row.from) + ", change " +
                 std::to_string(static_cast<int>(row.change)));
    Job job = row.make();
    const int64_t before = job.last_sequence;
    Effects effects;
    EXPECT_EQ(Apply(row.change, job, effects).code(), row.code);
    EXPECT_EQ(job.state, row.to);
    // Events count up from the newest one, and a refused change leaves none.
    EXPECT_EQ(job.last_sequence, before + static_cast<int64_t>(effects.events.size()));
    for (size_t i = 0; i < effects.events.size(); ++i) {
      EXPECT_EQ(effects.events[i].sequence(), before + 1 + static_cast<int64_t>(i));
    }
    if (row.code != absl::StatusCode::kOk) {
      EXPECT_THAT(effects.events, IsEmpty());
    }
    EXPECT_EQ(job.end_time.has_value(), IsFinal(row.to) &&
                                            std::string_view(row.from) != "succeeded" &&
                                            std::string_view(row.from) != "failed");
  }
}

TEST(JobTest, StartsWithTheNextAttempt) {
  Job job = Queued();
  Effects effects;
  ASSERT_TRUE(StartAttempt(job, kT0 + absl::Seconds(5), effects).ok());
  EXPECT_EQ(job.attempts, 1);
  EXPECT_EQ(job.start_time, kT0 + absl::Seconds(5));
  ASSERT_EQ(effects.events.size(), 1u);
  EXPECT_EQ(effects.events[0].attempt(), 1);
  EXPECT_EQ(effects.events[0].state_change().state(), TrainingJob::RUNNING);
}

TEST(JobTest, ARunningJobIsCancelledWhenItsAttemptEnds) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(RequestCancel(job, kT0, effects).ok());
  EXPECT_EQ(job.state, TrainingJob::RUNNING);
  ASSERT_TRUE(EndAttempt(job, Crash(), {}, kT0 + absl::Seconds(10), effects).ok());
  EXPECT_EQ(job.state, TrainingJob::CANCELLED);
  EXPECT_EQ(job.error, "");
}

TEST(JobTest, ACancelledJobTakesNoResult) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(RequestCancel(job, kT0, effects).ok());
  EXPECT_TRUE(absl::IsAborted(AcceptResult(job, {}, kT0, effects)));
}

// Nothing follows the event that ends a job, either.
TEST(JobTest, CancellingAgainTellsNothing) {
  for (Job job : {Queued(), InAttempt()}) {
    Effects first;
    ASSERT_TRUE(RequestCancel(job, kT0, first).ok());
    EXPECT_EQ(first.events.size(), 1u);
    Effects again;
    ASSERT_TRUE(RequestCancel(job, kT0, again).ok());
    EXPECT_TRUE(again.events.empty());
  }
}

// ---- Trying again. ----

TEST(JobTest, APausedJobGoesOnAtOnceWhenItIsResumedAndIsNotPausedAgain) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(RequestPause(job, kT0, effects).ok());
  AttemptEnd stopped;
  stopped.interrupted = true;
  stopped.wait = absl::Minutes(1);
  ASSERT_TRUE(EndAttempt(job, stopped, {}, kT0, effects).ok());
  EXPECT_EQ(job.state, TrainingJob::PAUSED);
  EXPECT_EQ(job.failures, 0);
  ASSERT_TRUE(RequestResume(job, kT0, effects).ok());
  EXPECT_EQ(job.not_before, absl::InfinitePast());
  ASSERT_TRUE(StartAttempt(job, kT0, effects).ok());
  ASSERT_TRUE(EndAttempt(job, stopped, {}, kT0, effects).ok());
  EXPECT_EQ(job.state, TrainingJob::QUEUED);
}

TEST(JobTest, AResultThatComesBeforeThePauseEndsTheJob) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(RequestPause(job, kT0, effects).ok());
  ASSERT_TRUE(AcceptResult(job, {}, kT0, effects).ok());
  EXPECT_FALSE(job.pause_requested);
  ASSERT_TRUE(Succeed(job, "tenants/acme/models/m/versions/1", kT0, effects).ok());
}

TEST(JobTest, AFailureThatCannotBeMendedEndsAJobThatIsBeingPaused) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(RequestPause(job, kT0, effects).ok());
  AttemptEnd end = Crash();
  end.retryable = false;
  ASSERT_TRUE(EndAttempt(job, end, {}, kT0, effects).ok());
  EXPECT_EQ(job.state, TrainingJob::FAILED);
}

TEST(JobTest, FailsAfterAsManyAttemptsAsThePolicyAllows) {
  const RetryPolicy policy{3, absl::Seconds(2), absl::Minutes(1)};
  Job job = Queued();
  absl::Time now = kT0;
  std::vector<absl::Duration> waits;
  for (int i = 0; i < 3; ++i) {
    Effects effects;
    ASSERT_TRUE(StartAttempt(job, now, effects).ok());
    ASSERT_TRUE(EndAttempt(job, Crash(), policy, now, effects).ok());
    if (job.state == TrainingJob::QUEUED) waits.push_back(job.not_before - now);
  }
  EXPECT_THAT(waits, ElementsAre(absl::Seconds(2), absl::Seconds(4)));
  EXPECT_EQ(job.state, TrainingJob::FAILED);
  EXPECT_EQ(job.error, "3 failed attempts; the last one: the trainer was killed by SIGKILL");
}

TEST(JobTest, WaitsNoLongerThanThePolicysLongest) {
  const RetryPolicy policy{100, absl::Seconds(2), absl::Seconds(30)};
  EXPECT_EQ(policy.Backoff(1), absl::Seconds(2));
  EXPECT_EQ(policy.Backoff(5), absl::Seconds(30));
  EXPECT_EQ(policy.Backoff(1'000'000), absl::Seconds(30));
}

TEST(JobTest, FailsAtOnceWhereAnotherAttemptWouldNotHelp) {
  Job job = InAttempt();
  AttemptEnd end = Crash();
  end.reason = "spec.architecture: too small";
  end.retryable = false;
  Effects effects;
  ASSERT_TRUE(EndAttempt(job, end, {}, kT0, effects).ok());
  EXPECT_EQ(job.state, TrainingJob::FAILED);
  EXPECT_EQ(job.error, "spec.architecture: too small");
}

TEST(JobTest, ARestartOfThePlatformCountsForNothing) {
  Job job = Queued();
  AttemptEnd end;
  end.reason = "the training service was restarted";
  end.interrupted = true;
  for (int i = 0; i < 20; ++i) {
    Effects effects;
    ASSERT_TRUE(StartAttempt(job, kT0, effects).ok());
    ASSERT_TRUE(EndAttempt(job, end, {}, kT0, effects).ok());
    EXPECT_EQ(job.state, TrainingJob::QUEUED);
    EXPECT_EQ(job.not_before, kT0);
  }
  EXPECT_EQ(job.attempts, 20);
  EXPECT_EQ(job.failures, 0);
}

TEST(JobTest, AnAttemptThatRanOutOfTimeEndsTheJob) {
  Job job = InAttempt();
  AttemptEnd end = Crash();
  end.reason = "its time limit of 60 s is over";
  end.out_of_time = true;
  Effects effects;
  ASSERT_TRUE(EndAttempt(job, end, {}, kT0, effects).ok());
  EXPECT_EQ(job.state, TrainingJob::FAILED);
  EXPECT_EQ(job.error, "its time limit of 60 s is over");
}

TEST(JobTest, KeepsTheLastWordsOfATrainer) {
  Job job = InAttempt();
  AttemptEnd end = Crash();
  end.last_lines = {"terminate called", "bad \xff byte"};
  Effects effects;
  ASSERT_TRUE(EndAttempt(job, end, {}, kT0, effects).ok());
  ASSERT_EQ(effects.events.size(), 3u);
  EXPECT_EQ(effects.events[0].log().text(), "terminate called");
  EXPECT_EQ(effects.events[1].log().text(), "bad ? byte");
  EXPECT_EQ(effects.events[1].log().severity(), "error");
  EXPECT_EQ(effects.events[2].state_change().state(), TrainingJob::QUEUED);
}

// ---- Stale attempts. ----

TEST(JobTest, OnlyTheAttemptThatRunsIsHeard) {
  const Job job = InAttempt(3);
  EXPECT_TRUE(CheckAttempt(job, 3).ok());
  EXPECT_TRUE(absl::IsAborted(CheckAttempt(job, 2)));
  EXPECT_TRUE(absl::IsAborted(CheckAttempt(job, 4)));
  EXPECT_TRUE(absl::IsAborted(CheckAttempt(Queued(), 0)));
  EXPECT_TRUE(absl::IsAborted(CheckAttempt(WithResult(), 1)));
}

// ---- Thresholds. ----

struct Threshold {
  std::map<std::string, double> at_least;
  std::map<std::string, double> metrics;
  std::string error;
};

TEST(JobTest, AResultBelowItsThresholdsIsNotRegistered) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Threshold table[] = {
      {{}, {}, ""},
      {{{"accuracy", 0.9}}, {{"accuracy", 0.95}}, ""},
      {{{"accuracy", 0.9}}, {{"accuracy", 0.9}}, ""},
      {{{"accuracy", 0.9}},
       {{"accuracy", 0.85}},
       "no version is registered: accuracy is 0.85 on the test part, and "
       "spec.evaluation.at_least.accuracy is 0.9"},
      {{{"accuracy", 0.9}},
       {{"accuracy", nan}},
       "no version is registered: accuracy is nan on the test part, and "
       "spec.evaluation.at_least.accuracy is 0.9"},
  };
  for (const Threshold& row : table) {
    Job job = InAttempt();
    job.spec.mutable_evaluation()->mutable_at_least()->insert(row.at_least.begin(),
                                                              row.at_least.end());
    Effects effects;
    Result result;
    result.metrics = row.metrics;
    ASSERT_TRUE(AcceptResult(job, result, kT0 + absl::Seconds(3), effects).ok());
    EXPECT_EQ(job.error, row.error);
    EXPECT_EQ(job.state, row.error.empty() ? TrainingJob::RUNNING : TrainingJob::FAILED);
    EXPECT_EQ(job.result.has_value(), row.error.empty());
    // Also a job that failed says what it measured.
    EXPECT_EQ(job.metrics.size(), row.metrics.size());
  }
}

// ---- Usage. ----

TEST(JobTest, UsageIsTheTimeOfAllAttempts) {
  Job job = Queued();
  Effects effects;
  ASSERT_TRUE(StartAttempt(job, kT0, effects).ok());
  AttemptEnd crash = Crash();
  crash.ran = absl::Seconds(10);
  ASSERT_TRUE(EndAttempt(job, crash, {}, kT0 + absl::Seconds(11), effects).ok());
  EXPECT_FALSE(effects.usage.has_value());
  ASSERT_TRUE(StartAttempt(job, kT0 + absl::Seconds(20), effects).ok());
  ASSERT_TRUE(AcceptResult(job, {}, kT0 + absl::Seconds(25), effects).ok());
  EXPECT_FALSE(effects.usage.has_value());
  // Registering is not training.
  ASSERT_TRUE(Succeed(job, "v", kT0 + absl::Hours(1), effects).ok());
  ASSERT_TRUE(effects.usage.has_value());
  EXPECT_EQ(effects.usage->kind(), "training_seconds");
  EXPECT_DOUBLE_EQ(effects.usage->quantity(), 15);
  EXPECT_EQ(effects.usage->tenant(), "acme");
  EXPECT_EQ(effects.usage->key_id(), "k1");
  EXPECT_EQ(effects.usage->resource(), "tenants/acme/jobs/j1");
}

TEST(JobTest, UsageCountsEachProcess) {
  Job job = Queued();
  job.spec.mutable_resources()->set_processes(3);
  Effects effects;
  ASSERT_TRUE(StartAttempt(job, kT0, effects).ok());
  ASSERT_TRUE(AcceptResult(job, {}, kT0 + absl::Seconds(5), effects).ok());
  ASSERT_TRUE(Succeed(job, "v", kT0 + absl::Hours(1), effects).ok());
  EXPECT_DOUBLE_EQ(effects.usage->quantity(), 15);
}

TEST(JobTest, AnAttemptWhoseEndNobodySawCountsUntilItsLastSignOfLife) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(Report(job, Events({LogEvent("x")}), kT0 + absl::Seconds(7), effects).ok());
  AttemptEnd end;
  end.interrupted = true;
  ASSERT_TRUE(EndAttempt(job, end, {}, kT0 + absl::Hours(5), effects).ok());
  EXPECT_EQ(job.used, absl::Seconds(7));
}

TEST(JobTest, AJobThatNeverRanUsesNothing) {
  Job job = Queued();
  Effects effects;
  ASSERT_TRUE(RequestCancel(job, kT0, effects).ok());
  EXPECT_FALSE(effects.usage.has_value());
}

// ---- What trainers tell. ----

TEST(JobTest, KeepsTheNewestProgress) {
  Job job = InAttempt();
  std::vector<v1::Event> events(2);
  events[0].mutable_progress()->set_step(1);
  events[1].mutable_progress()->set_step(2);
  Effects effects;
  ASSERT_TRUE(Report(job, Events(events), kT0, effects).ok());
  EXPECT_EQ(job.progress.step(), 2);
  EXPECT_EQ(job.progress_events, 2);
  EXPECT_EQ(effects.events.size(), 2u);
}

TEST(JobTest, ATrainerCannotTellAStateChange) {
  Job job = InAttempt();
  std::vector<v1::Event> events(1);
  events[0].mutable_state_change()->set_state(TrainingJob::SUCCEEDED);
  Effects effects;
  const absl::Status status = Report(job, Events(events), kT0, effects);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("events[0]"));
}

TEST(JobTest, RefusesWhatIsNoEvent) {
  Job job = InAttempt();
  Effects effects;
  EXPECT_TRUE(absl::IsInvalidArgument(Report(job, Events({v1::Event()}), kT0, effects)));
  EXPECT_TRUE(absl::IsInvalidArgument(Report(job, Events({LogEvent("x", "fatal")}), kT0, effects)));
  EXPECT_TRUE(absl::IsInvalidArgument(Report(
      job, Events(std::vector<v1::Event>(kMaxEventsPerReport + 1, LogEvent("x"))), kT0, effects)));
}

TEST(JobTest, ATrainerThatTalksTooMuchIsCutShort) {
  Job job = InAttempt();
  Effects effects;
  ASSERT_TRUE(
      Report(job, Events({LogEvent(std::string(kMaxLogTextBytes, 'a') + "b")}), kT0, effects).ok());
  EXPECT_EQ(effects.events[0].log().text(), std::string(kMaxLogTextBytes, 'a'));

  const std::vector<v1::Event> many(kMaxEventsPerReport, LogEvent("x"));
  int64_t kept = 1;
  for (int i = 0; i < 12; ++i) {
    Effects more;
    ASSERT_TRUE(Report(job, Events(many), kT0, more).ok());
    kept += static_cast<int64_t>(more.events.size());
  }
  EXPECT_EQ(kept, kMaxLogLines);
}

TEST(JobTest, TellsWhatItIs) {
  Job job = WithResult();
  job.priority = 3;
  const TrainingJob out = ToProto(job);
  EXPECT_EQ(out.name(), "tenants/acme/jobs/j1");
  EXPECT_EQ(out.state(), TrainingJob::RUNNING);
  EXPECT_EQ(out.progress().phase(), "registering");
  EXPECT_EQ(out.attempts(), 1);
  EXPECT_EQ(out.priority(), 3);
  EXPECT_DOUBLE_EQ(out.metrics().at("accuracy"), 0.95);
  EXPECT_FALSE(out.has_end_time());
}

}  // namespace
}  // namespace slipway::training
