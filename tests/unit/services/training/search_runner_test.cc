// Searches, by the runner: trials are jobs, and the best one's result gets the version.
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/training/runner_fixture.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using v1::TrainingJob;

const JobName kSearch = {"acme", "find"};

std::string Trial(const std::string& suffix) { return "tenants/acme/jobs/find-" + suffix; }

v1::JobSpec GridSpec(int rates, int parallel) {
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_data()->set_validation_fraction(0.1);
  v1::SearchSpec& search = *spec.mutable_search();
  search.set_method("grid");
  search.set_parallel(parallel);
  v1::SearchField& field = *search.add_fields();
  field.set_path("optimizer.learning_rate");
  for (int i = 1; i <= rates; ++i) field.add_values()->set_number_value(0.01 * i);
  return spec;
}

class SearchRunnerTest : public RunnerFixture {
 protected:
  SearchRunnerTest()
      : RunnerFixture({.scheduling = {.max_trainers = 8},
                       .retry = {1, absl::Seconds(2), absl::Minutes(2)}}) {}

  void Submit(const v1::JobSpec& spec) { RunnerFixture::Submit(kSearch.id, spec); }

  // A trial's trainer hands its result in and ends. Waits for it to be launched.
  void Complete(const std::string& suffix, double loss, int attempt = 1) {
    const std::string name = Trial(suffix);
    const v1::Attempt launched = launcher().WaitForLaunch(name, attempt);
    EXPECT_TRUE(launched.trial());
    Result result;
    result.artifact.set_format("slipway");
    result.artifact.set_digest(name);
    result.metrics["accuracy"] = 0.9;
    result.metrics["validation_loss"] = loss;
    const absl::Status done =
        training().Complete(Trainer(name), {"acme", "find-" + suffix}, attempt, result);
    EXPECT_TRUE(done.ok()) << done;
    launcher().End(name, attempt, {});
  }
  void Fail(const std::string& suffix) {
    launcher().WaitForLaunch(Trial(suffix), 1);
    launcher().End(Trial(suffix), 1, {"the training diverged", false, false, {}});
  }

  // Waits until the search has come into `state`, which it may have left again.
  void WaitFor(TrainingJob::State state) {
    (void)training().Watch(
        who_, kSearch, 0,
        [&](const v1::Event& event) { return event.state_change().state() != state; },
        [] { return false; });
  }
  void WaitForJob(const std::string& suffix, TrainingJob::State state) {
    (void)training().Watch(
        who_, {"acme", "find-" + suffix}, 0,
        [&](const v1::Event& event) { return event.state_change().state() != state; },
        [] { return false; });
  }
  TrainingJob Finished() { return RunnerFixture::Finished(kSearch.id); }
};

TEST_F(SearchRunnerTest, RegistersTheBestTrialAndNoOther) {
  v1::JobSpec spec = GridSpec(3, 2);
  spec.set_alias("production");
  Submit(spec);
  Complete("0", 0.5);
  Complete("1", 0.2);
  Complete("2", 0.4);
  const TrainingJob job = Finished();
  ASSERT_EQ(job.state(), TrainingJob::SUCCEEDED) << job.error();
  EXPECT_EQ(job.model_version(), "tenants/acme/models/digits-mlp/versions/1");
  const auto versions = registry_.versions();
  ASSERT_EQ(versions.size(), 1u);
  EXPECT_EQ(versions.begin()->second.artifact().digest(), Trial("1"));
  EXPECT_EQ(registry_.aliases().at("tenants/acme/models/digits-mlp/aliases/production"),
            job.model_version());
  EXPECT_EQ(job.metrics().at("validation_loss"), 0.2);
}

TEST_F(SearchRunnerTest, ShowsItsTrialsAndListsThemNowhereElse) {
  Submit(GridSpec(3, 3));
  Complete("1", 0.5);
  Fail("2");
  Complete("0", 0.7);
  const TrainingJob job = Finished();
  ASSERT_EQ(job.trials_size(), 3);
  std::map<std::string, std::string> shown;
  for (const v1::Trial& trial : job.trials()) {
    shown[trial.job()] = TrainingJob::State_Name(trial.state()) +
                         (trial.has_metric() ? " " + std::to_string(trial.metric()) : "") +
                         (trial.best() ? " best" : "");
    EXPECT_EQ(trial.values().at("optimizer.learning_rate").number_value(),
              0.01 * (trial.index() + 1));
  }
  EXPECT_THAT(shown,
              ElementsAre(Pair(Trial("0"), "SUCCEEDED 0.700000"),
                          Pair(Trial("1"), "SUCCEEDED 0.500000 best"), Pair(Trial("2"), "FAILED")));
  const auto list = training().List(who_, {"acme"}, 0, "");
  ASSERT_EQ(list->training_jobs_size(), 1);
  EXPECT_EQ(list->training_jobs(0).name(), kSearch.ToString());
  EXPECT_EQ(training().Get(who_, {"acme", "find-0"})->search(), kSearch.ToString());
}

TEST_F(SearchRunnerTest, FailsWithTheLastReasonWhereNoTrialHasAResult) {
  Submit(GridSpec(2, 1));
  Fail("0");
  Fail("1");
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_EQ(job.error(), "no trial has a result: the training diverged");
}

TEST_F(SearchRunnerTest, TheBestTrialHasToKeepTheSpecsBounds) {
  v1::JobSpec spec = GridSpec(2, 2);
  (*spec.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.99;
  Submit(spec);
  Complete("0", 0.5);
  Complete("1", 0.4);
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::FAILED);
  EXPECT_THAT(job.error(), HasSubstr("accuracy is 0.9 on the test part"));
  EXPECT_TRUE(registry_.versions().empty());
}

TEST_F(SearchRunnerTest, CancellingItCancelsItsTrials) {
  Submit(GridSpec(5, 2));
  Complete("0", 0.5);
  launcher().WaitForLaunch(Trial("1"), 1);
  launcher().WaitForLaunch(Trial("2"), 1);
  ASSERT_TRUE(training().Cancel(who_, kSearch).ok());
  launcher().WaitForStop(Trial("1"), 1);
  launcher().WaitForStop(Trial("2"), 1);
  EXPECT_EQ(training().Get(who_, kSearch)->state(), TrainingJob::RUNNING);
  launcher().End(Trial("1"), 1, {"stopped", true, true, {}});
  launcher().End(Trial("2"), 1, {"stopped", true, true, {}});
  EXPECT_EQ(Finished().state(), TrainingJob::CANCELLED);
  EXPECT_EQ(store_.Get({"acme", "find-1"})->state, TrainingJob::CANCELLED);
  EXPECT_EQ(store_.ListTrials(kSearch)->size(), 3u);
  EXPECT_TRUE(registry_.versions().empty());
}

TEST_F(SearchRunnerTest, PausesAndResumesWithItsTrials) {
  Submit(GridSpec(2, 1));
  launcher().WaitForLaunch(Trial("0"), 1);
  ASSERT_TRUE(training().Pause(who_, kSearch).ok());
  launcher().WaitForStop(Trial("0"), 1);
  launcher().End(Trial("0"), 1, {"stopped", true, true, {}});
  WaitFor(TrainingJob::PAUSED);
  EXPECT_EQ(store_.Get({"acme", "find-0"})->state, TrainingJob::PAUSED);
  ASSERT_TRUE(training().Resume(who_, kSearch).ok());
  Complete("0", 0.5, 2);
  Complete("1", 0.6);
  EXPECT_EQ(Finished().state(), TrainingJob::SUCCEEDED);
}

TEST_F(SearchRunnerTest, APausedSearchIsCancelledWithItsTrials) {
  Submit(GridSpec(2, 1));
  launcher().WaitForLaunch(Trial("0"), 1);
  ASSERT_TRUE(training().Pause(who_, kSearch).ok());
  launcher().WaitForStop(Trial("0"), 1);
  launcher().End(Trial("0"), 1, {"stopped", true, true, {}});
  WaitFor(TrainingJob::PAUSED);
  ASSERT_TRUE(training().Cancel(who_, kSearch).ok());
  EXPECT_EQ(Finished().state(), TrainingJob::CANCELLED);
  EXPECT_EQ(store_.Get({"acme", "find-0"})->state, TrainingJob::CANCELLED);
}

TEST_F(SearchRunnerTest, ATrialIsPausedByItsSearchOnly) {
  Submit(GridSpec(2, 1));
  launcher().WaitForLaunch(Trial("0"), 1);
  const absl::Status status = training().Pause(who_, {"acme", "find-0"}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("ask tenants/acme/jobs/find instead"));
}

TEST_F(SearchRunnerTest, ATrialThatIsCancelledIsLeftOut) {
  Submit(GridSpec(2, 2));
  launcher().WaitForLaunch(Trial("0"), 1);
  ASSERT_TRUE(training().Cancel(who_, {"acme", "find-0"}).ok());
  launcher().WaitForStop(Trial("0"), 1);
  launcher().End(Trial("0"), 1, {"stopped", true, true, {}});
  Complete("1", 0.6);
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.metrics().at("validation_loss"), 0.6);
}

TEST_F(SearchRunnerTest, GoesOnAfterARestart) {
  Submit(GridSpec(4, 1));
  Complete("0", 0.5);
  launcher().WaitForLaunch(Trial("1"), 1);
  Restart();
  // The trial that ran is tried again; no other is made twice.
  Complete("1", 0.1, 2);
  Complete("2", 0.4);
  launcher().WaitForLaunch(Trial("3"), 1);
  Restart();
  Complete("3", 0.3, 2);
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.trials_size(), 4);
  EXPECT_EQ(registry_.versions().begin()->second.artifact().digest(), Trial("1"));
}

TEST_F(SearchRunnerTest, HalvingTrainsTheBestLonger) {
  v1::JobSpec spec = GridSpec(1, 3);
  spec.mutable_training()->set_epochs(3);
  v1::SearchSpec& search = *spec.mutable_search();
  search.set_method("successive_halving");
  search.mutable_budget()->set_trials(3);
  search.mutable_fields(0)->clear_values();
  search.mutable_fields(0)->add_range(0.001);
  search.mutable_fields(0)->add_range(0.1);
  Submit(spec);
  EXPECT_EQ(launcher().WaitForLaunch(Trial("0"), 1).spec().training().epochs(), 1);
  Complete("0", 0.5);
  Complete("1", 0.6);
  Complete("2", 0.4);
  EXPECT_EQ(launcher().WaitForLaunch(Trial("2-1"), 1).spec().training().epochs(), 3);
  Complete("2-1", 0.3);
  const TrainingJob job = Finished();
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(registry_.versions().begin()->second.artifact().digest(), Trial("2-1"));
}

TEST_F(SearchRunnerTest, ATakenNameOfATrialIsNoHindrance) {
  auto other = ExampleRequest("acme", "find-0");
  ASSERT_TRUE(training().Submit(who_, other, absl::InfiniteFuture()).ok());
  Submit(GridSpec(2, 2));
  Complete("1", 0.6);
  for (const Job& trial : *store_.ListTrials(kSearch)) {
    if (trial.trial.index() == 0) Complete(trial.name.id.substr(5), 0.7);
  }
  EXPECT_EQ(Finished().state(), TrainingJob::SUCCEEDED);
}

TEST_F(SearchRunnerTest, ObjectsAreCopiedOnceForAllTrials) {
  for (const char* file : kExampleFiles) lake_->Put(std::string("sales/") + file, file);
  v1::JobSpec spec = GridSpec(2, 2);
  spec.clear_dataset();
  spec.mutable_data()->mutable_source()->set_store("lake");
  spec.mutable_data()->mutable_source()->set_prefix("sales");
  Submit(spec);
  const v1::Attempt first = launcher().WaitForLaunch(Trial("0"), 1);
  const v1::Attempt second = launcher().WaitForLaunch(Trial("1"), 1);
  EXPECT_EQ(first.dataset().files_size(), 4);
  EXPECT_EQ(first.dataset().digest(), second.dataset().digest());
  EXPECT_EQ(lake_->reads(), 4);
  Complete("0", 0.5);
  Complete("1", 0.4);
  EXPECT_EQ(Finished().state(), TrainingJob::SUCCEEDED);
}

TEST_F(SearchRunnerTest, TrialsKeepTheSearchesPriorityAndOwner) {
  auto request = ExampleRequest("acme", kSearch.id);
  *request.mutable_training_job()->mutable_spec() = GridSpec(1, 1);
  request.mutable_training_job()->set_priority(7);
  ASSERT_TRUE(training().Submit(who_, request, absl::InfiniteFuture()).ok());
  launcher().WaitForLaunch(Trial("0"), 1);
  const auto trial = store_.Get({"acme", "find-0"});
  ASSERT_TRUE(trial.ok());
  EXPECT_EQ(trial->priority, 7);
  EXPECT_EQ(trial->key_id, "k1");
  EXPECT_EQ(trial->dataset.name(), "tenants/acme/datasets/digits");
}

}  // namespace
}  // namespace slipway::training
