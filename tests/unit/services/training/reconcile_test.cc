#include "services/training/reconcile.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using v1::TrainingJob;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

QueuedJob Waiting(const std::string& tenant, const std::string& id, int64_t order) {
  QueuedJob job;
  job.name = {tenant, id};
  job.order = order;
  return job;
}

QueuedJob Started(const std::string& tenant, const std::string& id, int attempt = 1) {
  QueuedJob job = Waiting(tenant, id, 1);
  job.state = TrainingJob::RUNNING;
  job.attempt = attempt;
  return job;
}

RunningTrainer TrainerOf(const QueuedJob& job) {
  RunningTrainer trainer;
  trainer.job = job.name;
  trainer.attempt = job.attempt;
  return trainer;
}

// What is done about `jobs`, as text.
std::vector<std::string> Decide(const std::vector<QueuedJob>& jobs, const Running& running = {},
                                const SchedulingPolicy& policy = {}) {
  std::vector<std::string> out;
  for (const Action& action : Reconcile({jobs, policy}, running, kNow)) {
    out.push_back(ToString(action));
  }
  return out;
}

SchedulingPolicy Capacity(int trainers) {
  SchedulingPolicy policy;
  policy.max_trainers = trainers;
  return policy;
}

// ---- Searches. ----

QueuedJob SearchOf(TrainingJob::State state) {
  QueuedJob search = Waiting("a", "find", 1);
  search.state = state;
  search.is_search = true;
  return search;
}

TEST(ReconcileTest, ASearchHasNoTrainer) {
  EXPECT_THAT(Decide({SearchOf(TrainingJob::QUEUED)}), ElementsAre("step tenants/a/jobs/find"));
  EXPECT_THAT(Decide({SearchOf(TrainingJob::RUNNING)}), ElementsAre("step tenants/a/jobs/find"));
  EXPECT_THAT(Decide({SearchOf(TrainingJob::PAUSED)}), IsEmpty());
}

TEST(ReconcileTest, ASearchStepsWhenATrialIsOverOrDoesNotDoAsItDoes) {
  const QueuedJob search = SearchOf(TrainingJob::RUNNING);
  QueuedJob trial = Started("a", "find-0");
  const Running running = {.trainers = {TrainerOf(trial)},
                           .search_waits = {{search.name, {trial.name}}}};
  const auto steps = [&](const QueuedJob& search, const QueuedJob& trial) {
    const auto actions = Decide({search, trial}, running);
    return std::find(actions.begin(), actions.end(), "step tenants/a/jobs/find") != actions.end();
  };
  EXPECT_FALSE(steps(search, trial));
  QueuedJob over = trial;
  over.state = TrainingJob::FAILED;
  EXPECT_TRUE(steps(search, over));
  EXPECT_THAT(Decide({search}, running), ::testing::Contains("step tenants/a/jobs/find"));

  QueuedJob cancelled = search;
  cancelled.cancel_requested = true;
  EXPECT_TRUE(steps(cancelled, trial));
  QueuedJob asked = trial;
  asked.cancel_requested = true;
  EXPECT_FALSE(steps(cancelled, asked));

  QueuedJob pausing = search;
  pausing.pause_requested = true;
  EXPECT_TRUE(steps(pausing, trial));
  asked = trial;
  asked.pause_requested = true;
  EXPECT_FALSE(steps(pausing, asked));
  // It no longer is to be paused.
  EXPECT_TRUE(steps(search, asked));
  QueuedJob paused = trial;
  paused.state = TrainingJob::PAUSED;
  EXPECT_TRUE(steps(pausing, paused));

  QueuedJob rests = SearchOf(TrainingJob::PAUSED);
  EXPECT_FALSE(steps(rests, paused));
  rests.cancel_requested = true;
  EXPECT_TRUE(steps(rests, paused));
}

TEST(ReconcileTest, ASearchWithItsResultIsRegisteredLikeAnyJob) {
  QueuedJob search = SearchOf(TrainingJob::RUNNING);
  search.has_result = true;
  EXPECT_THAT(Decide({search}), ElementsAre("register tenants/a/jobs/find"));
}

// ---- Whose turn it is. ----

TEST(ReconcileTest, DoesNothingWithoutJobs) { EXPECT_THAT(Decide({}), IsEmpty()); }

TEST(ReconcileTest, LaunchesTheOldestOfATenantFirst) {
  EXPECT_THAT(Decide({Waiting("a", "late", 9), Waiting("a", "early", 2), Waiting("a", "mid", 5)}),
              ElementsAre("launch tenants/a/jobs/early"));
}

TEST(ReconcileTest, LaunchesTheHigherPriorityOfATenantBeforeTheOlder) {
  QueuedJob urgent = Waiting("a", "urgent", 9);
  urgent.priority = 1;
  QueuedJob idle = Waiting("a", "idle", 1);
  idle.priority = -1;
  EXPECT_THAT(Decide({idle, Waiting("a", "normal", 2), urgent}, {}, Capacity(3)),
              ElementsAre("launch tenants/a/jobs/urgent", "launch tenants/a/jobs/normal",
                          "launch tenants/a/jobs/idle"));
}

TEST(ReconcileTest, LaunchesAsManyAsThereIsRoomFor) {
  const QueuedJob running = Started("a", "running");
  EXPECT_THAT(Decide({running, Waiting("a", "x", 2), Waiting("a", "y", 3), Waiting("a", "z", 4)},
                     {.trainers = {TrainerOf(running)}}, Capacity(3)),
              ElementsAre("launch tenants/a/jobs/x", "launch tenants/a/jobs/y"));
}

TEST(ReconcileTest, LaunchesNothingWhileEverySlotIsTaken) {
  const QueuedJob running = Started("a", "running");
  EXPECT_THAT(Decide({running, Waiting("a", "x", 2)}, {.trainers = {TrainerOf(running)}}),
              IsEmpty());
}

TEST(ReconcileTest, ATrainerThatIsStoppingStillTakesItsSlot) {
  QueuedJob cancelled = Started("a", "cancelled");
  cancelled.cancel_requested = true;
  RunningTrainer trainer = TrainerOf(cancelled);
  trainer.stopping = absl::Seconds(1);
  EXPECT_THAT(Decide({cancelled, Waiting("a", "x", 2)}, {.trainers = {trainer}}), IsEmpty());
}

TEST(ReconcileTest, ATenantWithManyJobsDoesNotHoldUpAnother) {
  std::vector<QueuedJob> jobs;
  for (int i = 0; i < 100; ++i) {
    jobs.push_back(Waiting("greedy", "job-" + std::to_string(i), i));
    jobs.back().priority = 100;
  }
  jobs.push_back(Waiting("modest", "only", 1000));
  EXPECT_THAT(Decide(jobs, {}, Capacity(3)),
              ElementsAre("launch tenants/greedy/jobs/job-0", "launch tenants/modest/jobs/only",
                          "launch tenants/greedy/jobs/job-1"));
}

TEST(ReconcileTest, ATenantWithFewerTrainersComesFirst) {
  const QueuedJob running = Started("a", "running");
  EXPECT_THAT(Decide({running, Waiting("a", "x", 2), Waiting("b", "y", 3)},
                     {.trainers = {TrainerOf(running)}}, Capacity(2)),
              ElementsAre("launch tenants/b/jobs/y"));
}

TEST(ReconcileTest, TenantsTakeTurnsOnOneSlot) {
  // "a" was served last, "b" before it, "c" never.
  EXPECT_THAT(
      Decide({Waiting("a", "x", 1), Waiting("b", "y", 2), Waiting("c", "z", 3)},
             {.last_launch = {{"a", 2}, {"b", 1}}}, Capacity(3)),
      ElementsAre("launch tenants/c/jobs/z", "launch tenants/b/jobs/y", "launch tenants/a/jobs/x"));
}

TEST(ReconcileTest, ATenantHasNoMoreTrainersThanItsShare) {
  SchedulingPolicy policy = Capacity(4);
  policy.max_trainers_per_tenant = 1;
  EXPECT_THAT(
      Decide({Waiting("a", "x", 1), Waiting("a", "y", 2), Waiting("b", "z", 3)}, {}, policy),
      ElementsAre("launch tenants/a/jobs/x", "launch tenants/b/jobs/z"));
}

TEST(ReconcileTest, APausedJobWaitsForNothing) {
  QueuedJob paused = Waiting("a", "x", 1);
  paused.state = TrainingJob::PAUSED;
  EXPECT_THAT(Decide({paused}), IsEmpty());
}

// ---- Jobs of several trainers. ----

QueuedJob Wide(QueuedJob job, int processes) {
  job.processes = processes;
  return job;
}

RunningTrainer TrainersOf(const QueuedJob& job) {
  RunningTrainer trainer = TrainerOf(job);
  trainer.processes = job.processes;
  return trainer;
}

TEST(ReconcileTest, TheTrainersOfAJobStartTogetherOrNotAtAll) {
  const QueuedJob wide = Wide(Waiting("a", "wide", 1), 3);
  EXPECT_THAT(Decide({wide}, {}, Capacity(3)),
              ElementsAre("launch tenants/a/jobs/wide on 3 trainers"));
  const QueuedJob other = Started("a", "other");
  EXPECT_THAT(Decide({other, wide}, {.trainers = {TrainersOf(other)}}, Capacity(3)), IsEmpty());
  EXPECT_THAT(Decide({other, wide}, {.trainers = {TrainersOf(other)}}, Capacity(4)),
              ElementsAre("launch tenants/a/jobs/wide on 3 trainers"));
}

TEST(ReconcileTest, EachTrainerOfAJobTakesASlot) {
  const QueuedJob wide = Wide(Started("a", "wide"), 3);
  const Running running = {.trainers = {TrainersOf(wide)}};
  const QueuedJob x = Waiting("b", "x", 2);
  const QueuedJob y = Waiting("b", "y", 3);
  EXPECT_THAT(Decide({wide, x, y}, running, Capacity(4)), ElementsAre("launch tenants/b/jobs/x"));
  EXPECT_THAT(Decide({wide, x, y}, running, Capacity(3)), IsEmpty());
}

TEST(ReconcileTest, EachTrainerOfAJobCountsForItsTenant) {
  SchedulingPolicy policy = Capacity(10);
  policy.max_trainers_per_tenant = 3;
  const QueuedJob wide = Wide(Started("a", "wide"), 2);
  const Running running = {.trainers = {TrainersOf(wide)}};
  EXPECT_THAT(
      Decide({wide, Wide(Waiting("a", "more", 2), 2), Waiting("a", "small", 3)}, running, policy),
      ElementsAre("launch tenants/a/jobs/small"));
  // Two of "a" against one of "b": "b" comes first.
  const QueuedJob one = Started("b", "one");
  EXPECT_THAT(Decide({wide, one, Waiting("a", "x", 2), Waiting("b", "y", 3)},
                     {.trainers = {TrainersOf(wide), TrainersOf(one)}}, Capacity(4)),
              ElementsAre("launch tenants/b/jobs/y"));
}

TEST(ReconcileTest, SmallJobsDoNotSlipPastAWideOneWhoseTurnItIs) {
  const QueuedJob running = Started("a", "running");
  const QueuedJob wide = Wide(Waiting("b", "wide", 2), 2);
  EXPECT_THAT(Decide({running, wide, Waiting("a", "small", 3), Waiting("b", "small", 4)},
                     {.trainers = {TrainersOf(running)}}, Capacity(2)),
              IsEmpty());
}

TEST(ReconcileTest, AJobGetsNoMoreTrainersThanMayEverRun) {
  EXPECT_THAT(Decide({Wide(Waiting("a", "wide", 1), 8)}, {}, Capacity(3)),
              ElementsAre("launch tenants/a/jobs/wide on 3 trainers"));
  SchedulingPolicy policy = Capacity(4);
  policy.max_trainers_per_tenant = 2;
  EXPECT_THAT(Decide({Wide(Waiting("a", "wide", 1), 8)}, {}, policy),
              ElementsAre("launch tenants/a/jobs/wide on 2 trainers"));
}

// ---- Making room. ----

QueuedJob WithPriority(QueuedJob job, int priority) {
  job.priority = priority;
  return job;
}

// Trainers of these jobs that have run for an hour.
Running LongRunning(const std::vector<QueuedJob>& jobs) {
  Running running;
  for (const QueuedJob& job : jobs) {
    running.trainers.push_back(TrainerOf(job));
    running.trainers.back().ran = absl::Hours(1);
  }
  return running;
}

TEST(ReconcileTest, AJobMakesWayForOneOfItsTenantWithAHigherPriority) {
  const QueuedJob low = WithPriority(Started("a", "low"), -1);
  const QueuedJob lower = WithPriority(Started("a", "lower"), -2);
  const QueuedJob urgent = WithPriority(Waiting("a", "urgent", 9), 5);
  const Running running = LongRunning({low, lower});
  EXPECT_THAT(Decide({low, lower, urgent}, running, Capacity(2)),
              ElementsAre("stop tenants/a/jobs/lower attempt 1"));
  EXPECT_THAT(Decide({low, lower, WithPriority(urgent, -2)}, running, Capacity(2)), IsEmpty());
}

TEST(ReconcileTest, APriorityCountsForNothingBetweenTenants) {
  const QueuedJob idle = WithPriority(Started("a", "idle"), -5);
  EXPECT_THAT(Decide({idle, WithPriority(Waiting("b", "urgent", 9), 100)}, LongRunning({idle})),
              IsEmpty());
}

TEST(ReconcileTest, ATenantWithMuchMakesWayForOneWithLittleUntilTheyAreEven) {
  std::vector<QueuedJob> jobs;
  for (int i = 0; i < 4; ++i) {
    jobs.push_back(Started("greedy", "job-" + std::to_string(i)));
    jobs.back().order = i;
  }
  const Running running = LongRunning(jobs);
  for (int i = 0; i < 9; ++i) jobs.push_back(Waiting("modest", "m" + std::to_string(i), 10 + i));
  EXPECT_THAT(Decide(jobs, running, Capacity(4)),
              ElementsAre("stop tenants/greedy/jobs/job-3 attempt 1",
                          "stop tenants/greedy/jobs/job-2 attempt 1"));
}

TEST(ReconcileTest, SeveralMakeWayForAWideJobOrNone) {
  const QueuedJob low = WithPriority(Started("a", "low"), -1);
  const QueuedJob lower = WithPriority(Started("a", "lower"), -2);
  const QueuedJob urgent = Wide(WithPriority(Waiting("a", "urgent", 9), 5), 2);
  EXPECT_THAT(
      Decide({low, lower, urgent}, LongRunning({low, lower}), Capacity(2)),
      ElementsAre("stop tenants/a/jobs/lower attempt 1", "stop tenants/a/jobs/low attempt 1"));
  // One of them may not be stopped yet: neither is.
  Running running = LongRunning({low, lower});
  running.trainers[0].ran = absl::Seconds(1);
  EXPECT_THAT(Decide({low, lower, urgent}, running, Capacity(2)), IsEmpty());
  // A stop that is under way is waited for.
  running = LongRunning({low, lower});
  running.trainers[1].stopping = absl::Seconds(1);
  EXPECT_THAT(Decide({low, lower, urgent}, running, Capacity(2)),
              ElementsAre("stop tenants/a/jobs/low attempt 1"));
}

TEST(ReconcileTest, AWideJobMakesWayForAnotherTenantOnlyWhereItKeepsNoLess) {
  const QueuedJob wide = Wide(Started("greedy", "wide"), 4);
  Running running = LongRunning({wide});
  running.trainers[0].processes = 4;
  EXPECT_THAT(Decide({wide, Waiting("modest", "x", 2)}, running, Capacity(4)), IsEmpty());
  QueuedJob small = Started("greedy", "small");
  small.order = 2;
  running.trainers.push_back(TrainersOf(small));
  running.trainers.back().ran = absl::Hours(1);
  EXPECT_THAT(Decide({wide, small, Waiting("modest", "x", 2)}, running, Capacity(5)),
              ElementsAre("stop tenants/greedy/jobs/small attempt 1"));
}

TEST(ReconcileTest, RoomThatIsBeingMadeIsNotMadeAgain) {
  const QueuedJob low = Started("a", "low");
  const QueuedJob other = Started("a", "other");
  const QueuedJob urgent = WithPriority(Waiting("a", "urgent", 9), 1);
  Running running = LongRunning({low, other});
  running.trainers[0].stopping = absl::Seconds(1);
  EXPECT_THAT(Decide({low, other, urgent}, running, Capacity(2)), IsEmpty());
  // It is killed like any other that does not stop.
  running.trainers[0].stopping = absl::Minutes(1);
  EXPECT_THAT(Decide({low, other, urgent}, running, Capacity(2)),
              ElementsAre("kill tenants/a/jobs/low attempt 1"));
}

TEST(ReconcileTest, ATrainerThatHasHardlyBegunIsLeftAlone) {
  const QueuedJob low = Started("a", "low");
  const QueuedJob urgent = WithPriority(Waiting("a", "urgent", 9), 1);
  Running running = LongRunning({low});
  running.trainers[0].ran = absl::Seconds(59);
  EXPECT_THAT(Decide({low, urgent}, running), IsEmpty());
  EXPECT_EQ(NextWake({{low, urgent}, {}}, running, kNow), kNow + absl::Seconds(1));
}

// ---- Waits. ----

TEST(ReconcileTest, AJobThatIsToWaitWaits) {
  QueuedJob retried = Waiting("a", "retried", 1);
  retried.not_before = kNow + absl::Seconds(1);
  EXPECT_THAT(Decide({retried}), IsEmpty());
  EXPECT_THAT(Decide({retried, Waiting("a", "next", 2)}),
              ElementsAre("launch tenants/a/jobs/next"));
  retried.not_before = kNow;
  EXPECT_THAT(Decide({retried}), ElementsAre("launch tenants/a/jobs/retried"));
}

TEST(ReconcileTest, AWaitBeyondAllWaitsComesFromAClockThatWasSetBack) {
  QueuedJob retried = Waiting("a", "retried", 1);
  retried.not_before = kNow + absl::Hours(24);
  EXPECT_THAT(Decide({retried}), ElementsAre("launch tenants/a/jobs/retried"));
}

TEST(ReconcileTest, AJobIsNotLaunchedWhileItsEarlierTrainerLives) {
  QueuedJob retried = Waiting("a", "retried", 1);
  retried.attempt = 1;
  RunningTrainer earlier = TrainerOf(retried);
  earlier.stopping = absl::Seconds(1);
  EXPECT_THAT(Decide({retried}, {.trainers = {earlier}}, Capacity(2)), IsEmpty());
}

// ---- Stopping. ----

struct StopCase {
  std::string name;
  QueuedJob job;
  RunningTrainer trainer;
  std::vector<std::string> expected;
};

class ReconcileStopTest : public ::testing::TestWithParam<StopCase> {};

TEST_P(ReconcileStopTest, Decides) {
  EXPECT_EQ(Decide({GetParam().job}, {.trainers = {GetParam().trainer}}), GetParam().expected);
}

std::vector<StopCase> StopCases() {
  const QueuedJob running = Started("a", "j", 2);
  const RunningTrainer trainer = TrainerOf(running);
  std::vector<StopCase> cases;
  const auto add = [&](std::string name, std::vector<std::string> expected, auto change) {
    StopCase& added = cases.emplace_back(StopCase{std::move(name), running, trainer, expected});
    change(added.job, added.trainer);
  };
  const std::string stop = "stop tenants/a/jobs/j attempt 2";
  const std::string kill = "kill tenants/a/jobs/j attempt 2";
  add("RunningIsLeftAlone", {}, [](auto&, auto&) {});
  add("Cancelled", {stop}, [](auto& j, auto&) { j.cancel_requested = true; });
  add("Paused", {stop}, [](auto& j, auto&) { j.pause_requested = true; });
  add("StoppingInGrace", {}, [](auto& j, auto& t) {
    j.cancel_requested = true;
    t.stopping = absl::Seconds(9);
  });
  add("GraceOver", {kill}, [](auto& j, auto& t) {
    j.cancel_requested = true;
    t.stopping = absl::Seconds(10);
  });
  add("KilledOnce", {}, [](auto& j, auto& t) {
    j.cancel_requested = true;
    t.stopping = absl::Seconds(60);
    t.killed = true;
  });
  add("OutOfTime", {stop}, [](auto& j, auto& t) {
    j.time_limit = absl::Minutes(5);
    t.ran = absl::Minutes(5);
  });
  add("JustInTime", {}, [](auto& j, auto& t) {
    j.time_limit = absl::Minutes(5);
    t.ran = absl::Minutes(5) - absl::Milliseconds(1);
  });
  add("OutOfTimeOverAllAttempts", {stop}, [](auto& j, auto& t) {
    j.time_limit = absl::Minutes(5);
    j.used = absl::Minutes(4);
    t.ran = absl::Minutes(1);
  });
  add("OutOfThePlatformsTime", {stop}, [](auto&, auto& t) { t.ran = absl::Hours(24); });
  add("OlderAttempt", {"stop tenants/a/jobs/j attempt 1"}, [](auto&, auto& t) { t.attempt = 1; });
  add("QueuedAgain", {stop}, [](auto& j, auto&) {
    j.state = TrainingJob::QUEUED;
    j.not_before = kNow + absl::Seconds(2);
  });
  add("Failed", {stop}, [](auto& j, auto&) { j.state = TrainingJob::FAILED; });
  add("ResultHandedIn", {stop, "register tenants/a/jobs/j"},
      [](auto& j, auto&) { j.has_result = true; });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Table, ReconcileStopTest, ::testing::ValuesIn(StopCases()),
                         [](const auto& info) { return info.param.name; });

TEST(ReconcileTest, StopsATrainerWhoseJobIsUnknown) {
  EXPECT_THAT(Decide({}, {.trainers = {TrainerOf(Started("a", "ghost"))}}),
              ElementsAre("stop tenants/a/jobs/ghost attempt 1"));
}

// ---- Attempts that are over. ----

TEST(ReconcileTest, SettlesAnAttemptWhoseTrainerIsGone) {
  EXPECT_THAT(Decide({Started("a", "j")}), ElementsAre("settle tenants/a/jobs/j"));
}

TEST(ReconcileTest, SettlesACancelledJobWhenItsTrainerIsGone) {
  QueuedJob job = Started("a", "j");
  job.cancel_requested = true;
  EXPECT_THAT(Decide({job}), ElementsAre("settle tenants/a/jobs/j"));
}

TEST(ReconcileTest, DiscardsWhatAFinishedJobLeft) {
  QueuedJob job = Started("a", "j");
  for (const auto state : {TrainingJob::SUCCEEDED, TrainingJob::FAILED, TrainingJob::CANCELLED}) {
    job.state = state;
    EXPECT_THAT(Decide({job}), ElementsAre("discard tenants/a/jobs/j"));
  }
}

TEST(ReconcileTest, DiscardsNothingThatIsStillUsed) {
  QueuedJob job = Started("a", "j");
  job.state = TrainingJob::SUCCEEDED;
  RunningTrainer trainer = TrainerOf(job);
  trainer.stopping = absl::Seconds(1);
  EXPECT_THAT(Decide({job}, {.trainers = {trainer}}), IsEmpty());
  EXPECT_THAT(Decide({job}, {.registering = {job.name}}), IsEmpty());
}

// ---- Results. ----

TEST(ReconcileTest, RegistersAResultOnce) {
  QueuedJob job = Started("a", "j");
  job.has_result = true;
  EXPECT_THAT(Decide({job}), ElementsAre("register tenants/a/jobs/j"));
  EXPECT_THAT(Decide({job}, {.registering = {job.name}}), IsEmpty());
}

TEST(ReconcileTest, TriesTheRegistryAgainWhenItIsTime) {
  QueuedJob job = Started("a", "j");
  job.has_result = true;
  EXPECT_THAT(Decide({job}, {.register_not_before = {{job.name, kNow + absl::Seconds(1)}}}),
              IsEmpty());
  EXPECT_THAT(Decide({job}, {.register_not_before = {{job.name, kNow}}}),
              ElementsAre("register tenants/a/jobs/j"));
}

TEST(ReconcileTest, ACancelledJobsResultIsDroppedUnlessItIsOnItsWay) {
  QueuedJob job = Started("a", "j");
  job.has_result = true;
  job.cancel_requested = true;
  EXPECT_THAT(Decide({job}), ElementsAre("drop tenants/a/jobs/j"));
  EXPECT_THAT(Decide({job}, {.registering = {job.name}}), IsEmpty());
}

TEST(ReconcileTest, AResultOnItsWayToTheRegistryHoldsUpNoOtherJob) {
  QueuedJob job = Started("a", "j");
  job.has_result = true;
  EXPECT_THAT(Decide({job, Waiting("a", "next", 2)}, {.registering = {job.name}}),
              ElementsAre("launch tenants/a/jobs/next"));
}

// ---- Idempotence: what was done is not asked for again. ----

TEST(ReconcileTest, AsksForNothingOnceEveryActionIsDone) {
  std::vector<QueuedJob> jobs = {Waiting("a", "x", 1), Waiting("b", "y", 2)};
  EXPECT_THAT(Decide(jobs, {}, Capacity(2)),
              ElementsAre("launch tenants/a/jobs/x", "launch tenants/b/jobs/y"));
  Running running;
  for (QueuedJob& job : jobs) {
    job.state = TrainingJob::RUNNING;
    job.attempt = 1;
    running.trainers.push_back(TrainerOf(job));
  }
  EXPECT_THAT(Decide(jobs, running, Capacity(2)), IsEmpty());
}

// ---- Objects. ----

TEST(ReconcileTest, AJobWaitsForItsObjectsWhichAreCopiedForOneAtATime) {
  QueuedJob first = Waiting("a", "first", 1);
  QueuedJob second = Waiting("a", "second", 2);
  QueuedJob other = Waiting("b", "other", 3);
  for (QueuedJob* job : {&first, &second, &other}) job->lacks_dataset = true;
  EXPECT_THAT(Decide({second, first, other}), ElementsAre("copy objects for tenants/a/jobs/first"));
  EXPECT_THAT(Decide({first, second, other}, {.copying = first.name}), IsEmpty());
  // Each tenant in its turn.
  EXPECT_THAT(Decide({second, other}, {.last_copy = {{"a", 1}}}),
              ElementsAre("copy objects for tenants/b/jobs/other"));
  first.lacks_dataset = false;
  EXPECT_THAT(Decide({first, second}, {.copying = second.name}),
              ElementsAre("launch tenants/a/jobs/first"));
}

TEST(ReconcileTest, NothingIsCopiedForAJobThatIsSetAsideOrIsToWait) {
  QueuedJob job = Waiting("a", "first", 1);
  job.lacks_dataset = true;
  job.not_before = kNow + absl::Seconds(1);
  EXPECT_THAT(Decide({job}), IsEmpty());
  job.not_before = absl::InfinitePast();
  job.state = TrainingJob::PAUSED;
  EXPECT_THAT(Decide({job}), IsEmpty());
}

TEST(ReconcileTest, ASearchBeginsOnceItsObjectsAreCopied) {
  QueuedJob search = SearchOf(TrainingJob::QUEUED);
  search.lacks_dataset = true;
  EXPECT_THAT(Decide({search}), ElementsAre("copy objects for tenants/a/jobs/find"));
  EXPECT_THAT(Decide({search}, {.copying = search.name}), IsEmpty());
  search.cancel_requested = true;
  EXPECT_THAT(Decide({search}, {.copying = search.name}), ElementsAre("step tenants/a/jobs/find"));
}

// ---- When to look again. ----

TEST(NextWakeTest, NeverWhereNothingIsDue) {
  EXPECT_EQ(NextWake({}, {}, kNow), absl::InfiniteFuture());
  EXPECT_EQ(NextWake({{Waiting("a", "x", 1)}, {}}, {}, kNow), absl::InfiniteFuture());
}

TEST(NextWakeTest, AtTheEarliestOfAllThatIsDue) {
  QueuedJob retried = Waiting("a", "retried", 1);
  retried.not_before = kNow + absl::Seconds(30);
  QueuedJob running = Started("a", "running");
  running.time_limit = absl::Minutes(10);
  running.used = absl::Minutes(8);
  RunningTrainer trainer = TrainerOf(running);
  trainer.ran = absl::Minutes(1);
  QueuedJob registering = Started("a", "registering");
  registering.has_result = true;
  Running now{.trainers = {trainer},
              .register_not_before = {{registering.name, kNow + absl::Seconds(40)}}};

  EXPECT_EQ(NextWake({{retried, running, registering}, {}}, now, kNow), kNow + absl::Seconds(30));
  EXPECT_EQ(NextWake({{running, registering}, {}}, now, kNow), kNow + absl::Seconds(40));
  EXPECT_EQ(NextWake({{running}, {}}, now, kNow), kNow + absl::Minutes(1));
  now.trainers[0].stopping = absl::Seconds(4);
  EXPECT_EQ(NextWake({{running}, {}}, now, kNow), kNow + absl::Seconds(6));
  now.trainers[0].killed = true;
  EXPECT_EQ(NextWake({{running}, {}}, now, kNow), absl::InfiniteFuture());
}

TEST(NextWakeTest, NeverInThePast) {
  QueuedJob running = Started("a", "running");
  running.time_limit = absl::Seconds(1);
  RunningTrainer trainer = TrainerOf(running);
  trainer.ran = absl::Minutes(1);
  EXPECT_EQ(NextWake({{running}, {}}, {.trainers = {trainer}}, kNow), kNow);
}

}  // namespace
}  // namespace slipway::training
