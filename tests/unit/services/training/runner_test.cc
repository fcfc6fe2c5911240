#include "services/training/runner.h"

#include <memory>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/training/runner_fixture.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using v1::TrainingJob;

constexpr char kFirst[] = "tenants/acme/jobs/first";

class RunnerTest : public RunnerFixture {
 protected:
  RunnerTest()
      : RunnerFixture({.scheduling = {}, .retry = {3, absl::Seconds(2), absl::Minutes(2)}}) {}

  absl::Status Complete(int attempt, double accuracy = 0.95) {
    Result result;
    result.artifact.set_format("slipway");
    result.metrics["accuracy"] = accuracy;
    return training().Complete(Trainer(kFirst), {"acme", "first"}, attempt, result);
  }

  // Moves time, and has the runner look at it.
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    service_->board.Poke();
  }

  TrainingJob Finished(const std::string& id = "first") { return RunnerFixture::Finished(id); }

  // Waits until the job is in `state` for the `count`-th time; returns the reason that was given.
  std::string WaitForState(TrainingJob::State state, int count = 1) {
    std::string reason;
    (void)training().Watch(
        who_, {"acme", "first"}, 0,
        [&](const v1::Event& event) {
          if (event.state_change().state() != state || --count > 0) return true;
          reason = event.state_change().reason();
          return false;
        },
        [] { return false; });
    return reason;
  }

  const TrainerEnd kKilled{"the trainer was killed by SIGKILL", true, false, {}};
};

TEST_F(RunnerTest, RunsAJobToItsVersion) {
  v1::JobSpec spec = ExampleSpec();
  spec.set_alias("production");
  Submit("first", spec);
  const v1::Attempt attempt = launcher().WaitForLaunch(kFirst, 1);
  EXPECT_EQ(attempt.spec().model(), "digits-mlp");
  EXPECT_EQ(attempt.dataset().name(), "tenants/acme/datasets/digits");
  clock_.Advance(absl::Seconds(12));
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});

  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.model_version(), "tenants/acme/models/digits-mlp/versions/1");
  const auto versions = registry_.versions();
  ASSERT_EQ(versions.size(), 1u);
  const auto& version = versions.begin()->second;
  EXPECT_EQ(version.lineage().job(), kFirst);
  EXPECT_EQ(version.lineage().dataset(), "tenants/acme/datasets/digits");
  EXPECT_EQ(version.lineage().dataset_digest(), "sha256:" + std::string(64, 'd'));
  EXPECT_EQ(version.lineage().seed(), 7);
  EXPECT_EQ(version.lineage().code_version(), "0.1.0");
  EXPECT_DOUBLE_EQ(version.metrics().at("accuracy"), 0.95);
  EXPECT_THAT(registry_.aliases(),
              ElementsAre(Pair("tenants/acme/models/digits-mlp/aliases/production",
                               "tenants/acme/models/digits-mlp/versions/1")));
  const auto usage = store_.ListUsage(0, 10);
  ASSERT_EQ(usage->size(), 1u);
  EXPECT_DOUBLE_EQ((*usage)[0].quantity(), 12);
  launcher().WaitForDiscard(kFirst);
}

TEST_F(RunnerTest, TellsATrainerHowManyProcessesMayShareItsWork) {
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_training()->set_batch_size(64);
  spec.mutable_resources()->set_processes(2);
  Submit("first", spec);
  // One slot.
  EXPECT_EQ(launcher().WaitForLaunch(kFirst, 1).processes(), 1);
  options_.scheduling.max_trainers = 4;
  Restart();
  EXPECT_EQ(launcher().WaitForLaunch(kFirst, 2).processes(), 2);
}

TEST_F(RunnerTest, AResultBelowItsThresholdMakesNoVersion) {
  v1::JobSpec spec = ExampleSpec();
  (*spec.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.9;
  Submit("first", spec);
  launcher().WaitForLaunch(kFirst, 1);
  ASSERT_TRUE(Complete(1, 0.85).ok());
  launcher().End(kFirst, 1, {});
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(),
            "no version is registered: accuracy is 0.85 on the test part, and "
            "spec.evaluation.at_least.accuracy is 0.9");
  EXPECT_THAT(registry_.versions(), IsEmpty());
}

// ---- Objects of a store. ----

class ObjectRunnerTest : public RunnerTest {
 protected:
  ObjectRunnerTest() {
    for (const char* file : kExampleFiles) lake_->Put(std::string("sales/") + file, file);
  }

  static v1::JobSpec ObjectSpec() {
    v1::JobSpec spec = ExampleSpec();
    spec.clear_dataset();
    spec.mutable_data()->mutable_source()->set_store("lake");
    spec.mutable_data()->mutable_source()->set_prefix("sales");
    return spec;
  }
};

TEST_F(ObjectRunnerTest, EachAttemptHasTheBytesThatTheFirstOneHad) {
  Submit("first", ObjectSpec());
  const v1::Attempt first = launcher().WaitForLaunch(kFirst, 1);
  EXPECT_THAT(first.dataset().name(), StartsWith("tenants/acme/datasets/objects-"));
  ASSERT_EQ(first.dataset().files_size(), 4);
  EXPECT_EQ(first.dataset().files(0).digest(), "sha256:" + Sha256Hex("train-images"));
  EXPECT_EQ("tenants/acme/datasets/" + first.spec().dataset(), first.dataset().name());

  lake_->Put("sales/train-images", "others");
  launcher().End(kFirst, 1, kKilled);
  WaitForState(TrainingJob::QUEUED, 2);
  Advance(absl::Seconds(2));
  const v1::Attempt second = launcher().WaitForLaunch(kFirst, 2);
  EXPECT_EQ(second.dataset().digest(), first.dataset().digest());

  ASSERT_TRUE(Complete(2).ok());
  launcher().End(kFirst, 2, {});
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.spec().dataset(), first.spec().dataset());
  const auto versions = registry_.versions();
  ASSERT_EQ(versions.size(), 1u);
  const auto& lineage = versions.begin()->second.lineage();
  EXPECT_EQ(lineage.dataset(), first.dataset().name());
  EXPECT_EQ(lineage.dataset_digest(), first.dataset().digest());
}

TEST_F(ObjectRunnerTest, ACopyIsTakenUpAfterARestart) {
  registry_.SetDown(true);
  Submit("first", ObjectSpec());
  WaitForState(TrainingJob::QUEUED, 2);
  Quit();
  registry_.SetDown(false);
  clock_.Advance(absl::Seconds(2));
  Restart();
  EXPECT_EQ(launcher().WaitForLaunch(kFirst, 1).dataset().files_size(), 4);
}

TEST_F(ObjectRunnerTest, AStoreThatDoesNotAnswerIsAskedAgain) {
  lake_->FailReads({absl::UnavailableError("the object store lake does not answer")});
  Submit("first", ObjectSpec());
  EXPECT_EQ(WaitForState(TrainingJob::QUEUED, 2),
            "the data could not be copied: train-images: the object store lake does not answer; "
            "tried again in 2 s");
  EXPECT_EQ(launcher().launches(), 0u);
  Advance(absl::Seconds(2));
  EXPECT_EQ(launcher().WaitForLaunch(kFirst, 1).dataset().files_size(), 4);
}

TEST_F(ObjectRunnerTest, WhatCannotBeCopiedFailsTheJob) {
  lake_->FailReads({absl::FailedPreconditionError("the object store lake refuses its keys")});
  Submit("first", ObjectSpec());
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(),
            "the data could not be copied: train-images: the object store lake refuses its keys");
  EXPECT_EQ(job.attempts(), 0);
  EXPECT_THAT(*store_.ListUsage(0, 10), IsEmpty());
}

TEST_F(ObjectRunnerTest, ACancelledJobIsNotCopiedToTheEnd) {
  lake_->WhileReading([&] { EXPECT_TRUE(training().Cancel(who_, {"acme", "first"}).ok()); });
  Submit("first", ObjectSpec());
  EXPECT_EQ(Finished().state(), TrainingJob::CANCELLED);
  // The next job is copied, and the first one was not: it would have been read four times.
  Submit("second", ObjectSpec());
  launcher().WaitForLaunch("tenants/acme/jobs/second", 1);
  EXPECT_EQ(lake_->reads(), 1 + 4);
  EXPECT_EQ(launcher().launches(), 1u);
}

// ---- Held against the version that an alias holds. ----

class NoWorseTest : public RunnerTest {
 protected:
  const AliasName kProduction{{"acme", "digits-mlp"}, "production"};

  // A job that may be worse than production by 0.01, and moves it.
  void SubmitRival() {
    v1::JobSpec spec = ExampleSpec();
    spec.set_alias("production");
    v1::NoWorseThan& bound = *spec.mutable_evaluation()->mutable_no_worse_than();
    bound.set_alias("production");
    (*bound.mutable_margin())["accuracy"] = 0.01;
    Submit("first", spec);
    launcher().WaitForLaunch(kFirst, 1);
  }
};

TEST_F(NoWorseTest, AWorseVersionIsNotRegisteredAndTheAliasStays) {
  registry_.AddHeldVersion(kProduction, {{"accuracy", 0.97}});
  SubmitRival();
  ASSERT_TRUE(Complete(1, 0.95).ok());
  launcher().End(kFirst, 1, {});
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(),
            "no version is registered: accuracy is 0.95, and 0.97 in "
            "tenants/acme/models/digits-mlp/versions/1, which the alias production holds; "
            "spec.evaluation.no_worse_than.margin.accuracy is 0.01");
  EXPECT_EQ(registry_.versions().size(), 1u);
  EXPECT_EQ(registry_.aliases().at(kProduction.ToString()),
            "tenants/acme/models/digits-mlp/versions/1");
}

TEST_F(NoWorseTest, AVersionWithinTheMarginTakesTheAlias) {
  registry_.AddHeldVersion(kProduction, {{"accuracy", 0.955}});
  SubmitRival();
  ASSERT_TRUE(Complete(1, 0.95).ok());
  launcher().End(kFirst, 1, {});
  EXPECT_EQ(Finished().model_version(), "tenants/acme/models/digits-mlp/versions/2");
  EXPECT_EQ(registry_.aliases().at(kProduction.ToString()),
            "tenants/acme/models/digits-mlp/versions/2");
}

TEST_F(NoWorseTest, TheFirstVersionHasNothingToBeWorseThan) {
  SubmitRival();
  ASSERT_TRUE(Complete(1, 0.1).ok());
  launcher().End(kFirst, 1, {});
  EXPECT_EQ(Finished().state(), TrainingJob::SUCCEEDED);
}

TEST_F(NoWorseTest, ARegistryThatIsDownIsWaitedForAndNotPassedBy) {
  registry_.AddHeldVersion(kProduction, {{"accuracy", 0.97}});
  SubmitRival();
  registry_.SetDown(true);
  ASSERT_TRUE(Complete(1, 0.95).ok());
  launcher().End(kFirst, 1, {});
  registry_.SetDown(false);
  TrainingJob job = *training().Get(who_, {"acme", "first"});
  for (; job.state() == TrainingJob::RUNNING; job = *training().Get(who_, {"acme", "first"})) {
    Advance(absl::Seconds(2));
  }
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
}

TEST_F(RunnerTest, ATrainerGetsItsBaseAndTheVersionNamesIt) {
  const std::string base = registry_.AddHeldVersion({{"acme", "digits-mlp"}, "best"}, {});
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_base()->set_version("models/digits-mlp/aliases/best");
  Submit("first", spec);
  EXPECT_EQ(launcher().WaitForLaunch(kFirst, 1).base().name(), base);
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});
  const std::string made = Finished().model_version();
  EXPECT_EQ(registry_.versions().at(made).lineage().base_version(), base);
}

// ---- Trainers that die. ----

TEST_F(RunnerTest, ATrainerThatDiesIsFollowedByAnotherAfterAWait) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  launcher().End(kFirst, 1, {"the trainer was killed by SIGKILL", true, false, {"out of memory"}});
  EXPECT_EQ(WaitForState(TrainingJob::QUEUED, 2),
            "the trainer was killed by SIGKILL; tried again in 2 s");
  EXPECT_EQ(launcher().launches(), 1u);
  Advance(absl::Seconds(2));
  launcher().WaitForLaunch(kFirst, 2);
  ASSERT_TRUE(Complete(2).ok());
  launcher().End(kFirst, 2, {});
  EXPECT_EQ(Finished().state(), TrainingJob::SUCCEEDED);
}

TEST_F(RunnerTest, AJobWhoseTrainersAllDieFails) {
  Submit("first");
  for (int attempt = 1; attempt <= 3; ++attempt) {
    launcher().WaitForLaunch(kFirst, attempt);
    launcher().End(kFirst, attempt, kKilled);
    if (attempt < 3) WaitForState(TrainingJob::QUEUED, attempt + 1);
    Advance(absl::Minutes(2));
  }
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(), "3 failed attempts; the last one: the trainer was killed by SIGKILL");
  EXPECT_EQ(job.attempts(), 3);
}

TEST_F(RunnerTest, ATrainerThatWasStoppedFromOutsideIsFollowedAtOnceAndCountsForNothing) {
  Submit("first");
  for (int attempt = 1; attempt < 6; ++attempt) {
    launcher().WaitForLaunch(kFirst, attempt);
    launcher().End(kFirst, attempt, {"the trainer was stopped", true, true, {}});
  }
  launcher().WaitForLaunch(kFirst, 6);
  EXPECT_EQ(store_.Get({"acme", "first"})->failures, 0);
}

TEST_F(RunnerTest, ATrainerThatCannotUseItsAttemptIsNotTriedAgain) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  launcher().End(kFirst, 1, {"the trainer exited with code 64", false, false, {}});
  EXPECT_EQ(Finished().state(), TrainingJob::FAILED);
}

TEST_F(RunnerTest, ATrainerThatCannotBeStartedCountsAsAFailedAttempt) {
  launcher().FailLaunches(absl::NotFoundError("slipway-trainer was not found"));
  Submit("first");
  EXPECT_THAT(WaitForState(TrainingJob::QUEUED, 2),
              HasSubstr("could not be started: slipway-trainer was not found"));
}

TEST_F(RunnerTest, ATrainerThatCannotBeStartedForWantOfRoomDoesNot) {
  launcher().FailLaunches(StorageFull("data/training"));
  Submit("first");
  for (int attempt = 1; attempt < 6; ++attempt) {
    WaitForState(TrainingJob::QUEUED, attempt + 1);
    if (attempt == 5) launcher().FailLaunches(absl::OkStatus());
    Advance(absl::Seconds(10));
  }
  launcher().WaitForLaunch(kFirst, 6);
  EXPECT_EQ(store_.Get({"acme", "first"})->failures, 0);
}

// ---- Cancelling and time limits. ----

TEST_F(RunnerTest, ACancelledJobsTrainerIsStoppedThenKilled) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  ASSERT_TRUE(training().Cancel(who_, {"acme", "first"}).ok());
  launcher().WaitForStop(kFirst, 1);
  Advance(absl::Seconds(10));
  launcher().WaitForKill(kFirst, 1);
  EXPECT_EQ(training().Get(who_, {"acme", "first"})->state(), TrainingJob::RUNNING);
  launcher().End(kFirst, 1, kKilled);
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::CANCELLED);
  EXPECT_DOUBLE_EQ((*store_.ListUsage(0, 10))[0].quantity(), 10);
  launcher().WaitForDiscard(kFirst);
}

TEST_F(RunnerTest, AJobOutOfTimeIsStoppedAndFails) {
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_resources()->mutable_time_limit()->set_seconds(60);
  launcher().ObeyStops();
  Submit("first", spec);
  launcher().WaitForLaunch(kFirst, 1);
  Advance(absl::Seconds(60));
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(), "its time limit of 60 s is over");
}

// ---- One at a time. ----

TEST_F(RunnerTest, TheNextJobStartsWhenTheOneBeforeIsOver) {
  Submit("first");
  Submit("second");
  launcher().WaitForLaunch(kFirst, 1);
  EXPECT_EQ(launcher().launches(), 1u);
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});
  launcher().WaitForLaunch("tenants/acme/jobs/second", 1);
}

// ---- Restarts. ----

TEST_F(RunnerTest, AfterARestartAJobGoesOnWithItsNextAttempt) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  Restart();
  EXPECT_EQ(launcher().kept_at_start().size(), 1u);
  launcher().WaitForLaunch(kFirst, 2);
  // A trainer of the first attempt that lives on is not heard.
  EXPECT_TRUE(*training().Report(Trainer(kFirst), {"acme", "first"}, 1, {}));
  ASSERT_TRUE(Complete(2).ok());
  launcher().End(kFirst, 2, {});
  EXPECT_EQ(Finished().state(), TrainingJob::SUCCEEDED);
}

// The database has the attempt, the runner does not know it. The end that it knows is the one
// before's.
TEST_F(RunnerTest, AnAttemptWhoseBeginWasNotAnsweredIsFollowedByAnotherAndCountsForNothing) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  ASSERT_TRUE(training().Fail(Trainer(kFirst), {"acme", "first"}, 1, "lost a peer", true).ok());
  launcher().End(kFirst, 1, kKilled);
  store_.LoseNextAnswer();
  Advance(absl::Seconds(2));
  launcher().WaitForLaunch(kFirst, 3);
  EXPECT_EQ(WaitForState(TrainingJob::QUEUED, 3), "the training service was restarted");
  EXPECT_EQ(store_.Get({"acme", "first"})->failures, 1);
}

TEST_F(RunnerTest, AfterARestartAResultThatWasHandedInIsRegistered) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  registry_.SetDown(true);
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});
  Quit();
  registry_.SetDown(false);
  Restart();
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.attempts(), 1);
  EXPECT_EQ(launcher().launches(), 0u);
}

TEST_F(RunnerTest, ACancelledResultThatTheRegistryCannotTakeIsDropped) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  registry_.SetDown(true);
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});
  ASSERT_TRUE(training().Cancel(who_, {"acme", "first"}).ok());
  EXPECT_EQ(Finished().state(), TrainingJob::CANCELLED);
  EXPECT_THAT(registry_.versions(), IsEmpty());
}

TEST_F(RunnerTest, ALostAnswerOfTheRegistryMakesNoSecondVersion) {
  registry_.FailNext(absl::UnavailableError("connection reset"), /*made=*/true);
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});
  TrainingJob job = *training().Get(who_, {"acme", "first"});
  for (; job.state() == TrainingJob::RUNNING; job = *training().Get(who_, {"acme", "first"})) {
    Advance(absl::Seconds(2));
  }
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(registry_.versions().size(), 1u);
}

TEST_F(RunnerTest, AVersionThatTheRegistryRefusesFailsTheJob) {
  registry_.FailNext(InvalidField("artifact.files[0].digest", "no such blob"));
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  ASSERT_TRUE(Complete(1).ok());
  launcher().End(kFirst, 1, {});
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(),
            "the registry refused the version: artifact.files[0].digest: no such blob");
}

TEST_F(RunnerTest, AFullDiskHoldsThingsUpAndLosesNothing) {
  Submit("first");
  launcher().WaitForLaunch(kFirst, 1);
  store_.FailWrites(StorageFull("training.db"));
  launcher().End(kFirst, 1, kKilled);
  Advance(absl::Seconds(1));
  EXPECT_EQ(training().Get(who_, {"acme", "first"})->state(), TrainingJob::RUNNING);
  store_.FailWrites(absl::OkStatus());
  EXPECT_THAT(WaitForState(TrainingJob::QUEUED, 2), HasSubstr("killed by SIGKILL"));
}

}  // namespace
}  // namespace slipway::training
