#include "services/controller/reconcile.h"

#include <algorithm>
#include <functional>
#include <random>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ModelState = ObservedModel::State;
using WorkerState = ObservedWorker::State;
using SummaryState = DeploymentSummary::State;

VersionName Version(int64_t number) { return {{"acme", "cnn"}, number}; }
const DeploymentName kShoes{"acme", "shoes"};
const WorkerId kFirst{"default", 0};
const WorkerId kSecond{"default", 1};
ModelKey Shoes(int64_t number) { return {kShoes, Version(number)}; }

DesiredDeployment Want(int64_t number, std::optional<int64_t> serving = {}) {
  DesiredDeployment deployment;
  deployment.name = kShoes;
  deployment.pool = "default";
  deployment.wanted = Version(number);
  if (serving) deployment.serving = Version(*serving);
  return deployment;
}

ObservedModel In(ModelState state) {
  ObservedModel model;
  model.state = state;
  return model;
}

ObservedModel Failed(int failures, absl::Duration ago) {
  ObservedModel model = In(ModelState::kFailed);
  model.error = "model.safetensors: truncated";
  model.failures = failures;
  model.failed_for = ago;
  return model;
}

ObservedWorker Up(std::map<ModelKey, ObservedModel> models = {}) {
  ObservedWorker worker;
  worker.state = WorkerState::kUp;
  worker.models = std::move(models);
  return worker;
}

ObservedRoute To(int64_t number, std::set<WorkerId> workers) {
  return {Version(number), std::move(workers)};
}

// The actions as text, so that a failed row reads like the rule that it breaks.
std::vector<std::string> Decide(const Desired& desired, const Observed& observed) {
  std::vector<std::string> texts;
  for (const Action& action : Reconcile(desired, observed)) texts.push_back(ToString(action));
  return texts;
}

const char kRouteNothing[] = "route tenants/acme/deployments/shoes to nothing";
std::string Route(int number, std::string_view workers) {
  return "route tenants/acme/deployments/shoes to tenants/acme/models/cnn/versions/" +
         std::to_string(number) + " on " + std::string(workers);
}
std::string Load(int number, std::string_view worker) {
  return "load tenants/acme/models/cnn/versions/" + std::to_string(number) +
         " of tenants/acme/deployments/shoes on " + std::string(worker);
}
std::string Unload(int number, std::string_view worker) {
  return "unload tenants/acme/models/cnn/versions/" + std::to_string(number) +
         " of tenants/acme/deployments/shoes from " + std::string(worker);
}

class ReconcileTest : public testing::Test {
 protected:
  ReconcileTest() { desired.pools = {{"default", 1}}; }
  std::vector<std::string> Decide() { return controller::Decide(desired, observed); }
  Desired desired;
  Observed observed;
};

TEST_F(ReconcileTest, StartsEveryWorkerOfEveryPool) {
  desired.pools = {{"default", 2}, {"gpu", 1}};
  EXPECT_THAT(Decide(), ElementsAre("start default-0", "start default-1", "start gpu-0"));
}

TEST_F(ReconcileTest, NeitherStartsNorStopsWorkersThatSomebodyElseRuns) {
  desired.pools = {{"default", 2, /*launched=*/false}};
  observed.workers[kFirst] = Up();
  observed.workers[kFirst].silent_for = absl::Hours(1);
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, LeavesARunningWorkerAlone) {
  observed.workers[kFirst] = Up();
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, StartsADeadWorkerAgainLaterEachTime) {
  ObservedWorker& worker = observed.workers[kFirst];
  worker.state = WorkerState::kDown;
  const struct {
    int failed_starts;
    absl::Duration down_for;
    bool starts;
  } rows[] = {
      {0, absl::ZeroDuration(), true},    {1, absl::Milliseconds(199), false},
      {1, absl::Milliseconds(200), true}, {3, absl::Milliseconds(799), false},
      {3, absl::Milliseconds(800), true}, {100, absl::Seconds(29), false},
      {100, absl::Seconds(30), true},
  };
  for (const auto& row : rows) {
    worker.failed_starts = row.failed_starts;
    worker.down_for = row.down_for;
    EXPECT_EQ(!Decide().empty(), row.starts) << row.failed_starts << " " << row.down_for;
  }
}

TEST_F(ReconcileTest, StopsAWorkerThatHangs) {
  observed.workers[kFirst] = Up();
  observed.workers[kFirst].silent_for = absl::Seconds(89);
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].silent_for = absl::Seconds(90);
  EXPECT_THAT(Decide(), ElementsAre("stop default-0: it has not answered for 90 s"));
  observed.workers[kFirst].state = WorkerState::kStarting;
  EXPECT_THAT(Decide(), ElementsAre("stop default-0: it has not answered for 90 s"));
}

TEST_F(ReconcileTest, AnnouncesANewDeploymentBeforeAnythingServesIt) {
  desired.deployments = {Want(1)};
  EXPECT_THAT(Decide(), ElementsAre("start default-0", kRouteNothing));
}

TEST_F(ReconcileTest, LoadsOnceAWorkerAnswers) {
  desired.deployments = {Want(1)};
  observed.routes[kShoes] = {};
  observed.workers[kFirst].state = WorkerState::kStarting;
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].state = WorkerState::kUp;
  EXPECT_THAT(Decide(), ElementsAre(Load(1, "default-0")));
}

TEST_F(ReconcileTest, RoutesOnlyWhatIsReady) {
  desired.deployments = {Want(1)};
  observed.routes[kShoes] = {};
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kLoading)}});
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-0")));
  desired.deployments = {Want(1, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, WaitsWhileTheVersionIsUnknown) {
  desired.deployments = {Want(1)};
  desired.deployments[0].wanted = {};
  observed.routes[kShoes] = {};
  observed.workers[kFirst] = Up();
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, WhatIsLoadedStaysWhileItsVersionIsUnknown) {
  desired.deployments = {Want(1)};
  desired.deployments[0].wanted.reset();
  observed.routes[kShoes] = {};
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), IsEmpty());
  desired.deployments[0].unloaded = true;
  EXPECT_THAT(Decide(), ElementsAre(Unload(1, "default-0")));
}

TEST_F(ReconcileTest, LoadsANewVersionBesideTheOldAndOnlyThenMovesTheRoute) {
  desired.deployments = {Want(2, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), ElementsAre(Load(2, "default-0")));

  observed.workers[kFirst].models[Shoes(2)] = In(ModelState::kLoading);
  EXPECT_THAT(Decide(), IsEmpty());

  observed.workers[kFirst].models[Shoes(2)] = In(ModelState::kReady);
  EXPECT_THAT(Decide(), ElementsAre(Route(2, "default-0")));
}

TEST_F(ReconcileTest, UnloadsTheOldVersionOnlyOnceItWasOutOfTheRouteForAWhile) {
  desired.deployments = {Want(2, 2)};
  observed.routes[kShoes] = To(2, {kFirst});
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kReady)}});
  ObservedModel& old = observed.workers[kFirst].models[Shoes(1)];
  old.unrouted_for = absl::Milliseconds(1999);
  EXPECT_THAT(Decide(), IsEmpty());
  old.unrouted_for = absl::Seconds(2);
  EXPECT_THAT(Decide(), ElementsAre(Unload(1, "default-0")));
  old.state = ModelState::kUnloading;
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, MovesTheRouteOnlyWhenEveryReplicaHasTheNewVersion) {
  desired.pools = {{"default", 2}};
  desired.deployments = {Want(2, 1)};
  desired.deployments[0].replicas = 2;
  observed.routes[kShoes] = To(1, {kFirst, kSecond});
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kReady)}});
  observed.workers[kSecond] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kLoading)}});
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kSecond].models[Shoes(2)] = In(ModelState::kReady);
  EXPECT_THAT(Decide(), ElementsAre(Route(2, "default-0, default-1")));
}

TEST_F(ReconcileTest, KeepsTheOldVersionServingWhenTheNewOneFailsToLoad) {
  desired.deployments = {Want(2, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), Failed(1, absl::ZeroDuration())}});
  EXPECT_THAT(Decide(), IsEmpty());
  const DeploymentSummary summary = Summarize(desired.deployments[0], observed);
  EXPECT_EQ(summary.state, SummaryState::kFailed);
  EXPECT_EQ(summary.serving, Version(1));
  EXPECT_EQ(summary.error,
            "tenants/acme/models/cnn/versions/2 could not be loaded: model.safetensors: truncated");
}

TEST_F(ReconcileTest, TriesAFailedLoadAgainLaterEachTime) {
  desired.deployments = {Want(1)};
  observed.routes[kShoes] = {};
  const struct {
    int failures;
    absl::Duration ago;
    bool tries;
  } rows[] = {
      {1, absl::Seconds(9), false}, {1, absl::Seconds(10), true},    {2, absl::Seconds(19), false},
      {2, absl::Seconds(20), true}, {50, absl::Seconds(599), false}, {50, absl::Minutes(10), true},
  };
  for (const auto& row : rows) {
    observed.workers[kFirst] = Up({{Shoes(1), Failed(row.failures, row.ago)}});
    EXPECT_EQ(!Decide().empty(), row.tries) << row.failures << " " << row.ago;
  }
}

TEST_F(ReconcileTest, ARestartLoadsWhatServedBesideWhatIsWanted) {
  desired.deployments = {Want(2, 1)};
  observed.routes[kShoes] = {};
  observed.workers[kFirst] = Up();
  EXPECT_THAT(Decide(), ElementsAre(Load(2, "default-0"), Load(1, "default-0")));
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), Failed(1, absl::ZeroDuration())}});
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-0")));
}

TEST_F(ReconcileTest, AVersionThatWasWantedBetweenIsDroppedAtOnce) {
  desired.deployments = {Want(3, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  for (const ModelState state : {ModelState::kLoading, ModelState::kReady, ModelState::kFailed}) {
    observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)},
                                   {Shoes(2), In(state)},
                                   {Shoes(3), In(ModelState::kLoading)}});
    EXPECT_THAT(Decide(), ElementsAre(Unload(2, "default-0")));
  }
}

TEST_F(ReconcileTest, AVersionThatIsWantedAgainLoadsOnceItsUnloadIsOver) {
  desired.deployments = {Want(1, 2)};
  observed.routes[kShoes] = To(2, {kFirst});
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kUnloading)}, {Shoes(2), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].models.erase(Shoes(1));
  EXPECT_THAT(Decide(), ElementsAre(Load(1, "default-0")));
}

TEST_F(ReconcileTest, ADeadWorkerLeavesTheRouteAndStartsAgain) {
  desired.deployments = {Want(1, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  observed.workers[kFirst].state = WorkerState::kDown;
  EXPECT_THAT(Decide(), ElementsAre("start default-0", kRouteNothing));
  observed.routes[kShoes] = {};
  observed.workers[kFirst] = Up();
  EXPECT_THAT(Decide(), ElementsAre(Load(1, "default-0")));
}

TEST_F(ReconcileTest, AReplicaOfADeadWorkerMovesToAnother) {
  desired.pools = {{"default", 2}};
  desired.deployments = {Want(1, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  observed.workers[kFirst].state = WorkerState::kDown;
  observed.workers[kSecond] = Up();
  EXPECT_THAT(Decide(), ElementsAre("start default-0", kRouteNothing, Load(1, "default-1")));

  // Once it serves there, the worker that comes back stays free.
  observed.routes[kShoes] = To(1, {kSecond});
  observed.workers[kFirst] = Up();
  observed.workers[kSecond] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, AShortSilenceKeepsTheRouteAndALongOneEndsIt) {
  desired.deployments = {Want(1, 1)};
  observed.routes[kShoes] = To(1, {kFirst});
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  observed.workers[kFirst].silent_for = absl::Seconds(9);
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].silent_for = absl::Seconds(10);
  EXPECT_THAT(Decide(), ElementsAre(kRouteNothing));
}

TEST_F(ReconcileTest, KeepsAServingReplicaWhileTheOtherIsDown) {
  desired.pools = {{"default", 2}};
  desired.deployments = {Want(1, 1)};
  desired.deployments[0].replicas = 2;
  observed.routes[kShoes] = To(1, {kFirst, kSecond});
  observed.workers[kFirst].state = WorkerState::kStarting;
  observed.workers[kSecond] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-1")));
}

TEST_F(ReconcileTest, SpreadsDeploymentsOverTheWorkers) {
  desired.pools = {{"default", 2}};
  DesiredDeployment other = Want(1);
  other.name = {"acme", "boots"};
  desired.deployments = {Want(1), other};
  observed.routes[kShoes] = {};
  observed.routes[other.name] = {};
  observed.workers[kFirst] = Up();
  observed.workers[kSecond] = Up();
  EXPECT_THAT(Decide(), ElementsAre(Load(1, "default-0"),
                                    "load tenants/acme/models/cnn/versions/1 of "
                                    "tenants/acme/deployments/boots on default-1"));
}

TEST_F(ReconcileTest, FewerReplicasShrinkTheRouteBeforeTheWorkers) {
  desired.pools = {{"default", 2}};
  desired.deployments = {Want(1, 1)};
  observed.routes[kShoes] = To(1, {kFirst, kSecond});
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  observed.workers[kSecond] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-0")));
  observed.routes[kShoes] = To(1, {kFirst});
  EXPECT_THAT(Decide(), ElementsAre(Unload(1, "default-1")));
}

TEST_F(ReconcileTest, MoreReplicasThanWorkersUseWhatThereIs) {
  desired.deployments = {Want(1, 1)};
  desired.deployments[0].replicas = 3;
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  observed.routes[kShoes] = To(1, {kFirst});
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(ReconcileTest, ADeletedDeploymentLeavesRouteThenWorkersThenStore) {
  desired.deployments = {Want(1, 1)};
  desired.deployments[0].deleting = true;
  observed.routes[kShoes] = To(1, {kFirst});
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), ElementsAre("unroute tenants/acme/deployments/shoes"));
  observed.routes.erase(kShoes);
  observed.workers[kFirst].models[Shoes(1)].unrouted_for = absl::Seconds(1);
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].models[Shoes(1)].unrouted_for = absl::Seconds(2);
  EXPECT_THAT(Decide(), ElementsAre(Unload(1, "default-0")));
  observed.workers[kFirst].models[Shoes(1)].state = ModelState::kUnloading;
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].models.clear();
  EXPECT_THAT(Decide(), ElementsAre("forget tenants/acme/deployments/shoes"));
}

TEST_F(ReconcileTest, UnloadsWhatNoDeploymentNames) {
  observed.workers[kFirst] = Up({{Shoes(7), In(ModelState::kReady)}});
  EXPECT_THAT(Decide(), ElementsAre(Unload(7, "default-0")));
}

TEST_F(ReconcileTest, ADeploymentOfAPoolThatIsGoneWaits) {
  desired.deployments = {Want(1, 1)};
  desired.deployments[0].pool = "gpu";
  observed.workers[kFirst] = Up();
  observed.routes[kShoes] = {};
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST(SummarizeTest, TellsTheOwnerWhereTheDeploymentIs) {
  const DesiredDeployment wants = Want(2, 1);
  Observed observed;
  EXPECT_EQ(Summarize(wants, observed).state, SummaryState::kPending);

  observed.workers[kFirst].down_reason = "exit code 1";
  EXPECT_EQ(Summarize(wants, observed).error, "worker default-0 is down: exit code 1");

  observed.workers[kFirst] = Up({{Shoes(2), In(ModelState::kLoading)}});
  observed.routes[kShoes] = To(1, {kFirst});
  EXPECT_EQ(Summarize(wants, observed).state, SummaryState::kLoading);
  EXPECT_EQ(Summarize(wants, observed).serving, Version(1));

  observed.workers[kFirst].models[Shoes(2)] = Failed(1, absl::ZeroDuration());
  EXPECT_EQ(Summarize(wants, observed).state, SummaryState::kFailed);
  // It stays so while the load is tried again.
  observed.workers[kFirst].models[Shoes(2)].state = ModelState::kLoading;
  EXPECT_EQ(Summarize(wants, observed).state, SummaryState::kFailed);

  observed.workers[kFirst].models[Shoes(2)].state = ModelState::kReady;
  observed.routes[kShoes] = To(2, {kFirst});
  const DeploymentSummary ready = Summarize(wants, observed);
  EXPECT_EQ(ready.state, SummaryState::kReady);
  EXPECT_EQ(ready.ready_replicas, 1);
  EXPECT_EQ(ready.error, "");

  DesiredDeployment deleting = wants;
  deleting.deleting = true;
  EXPECT_EQ(Summarize(deleting, observed).state, SummaryState::kDeleting);
}

DesiredDeployment Try(int64_t candidate, int percent, int64_t stable) {
  DesiredDeployment deployment = Want(stable, stable);
  deployment.candidate = Version(candidate);
  deployment.percent = percent;
  return deployment;
}

std::string RouteBoth(int stable, int candidate, int percent) {
  return Route(stable, "default-0") + ", " + std::to_string(percent) +
         "% to tenants/acme/models/cnn/versions/" + std::to_string(candidate) + " on default-0";
}

TEST_F(ReconcileTest, LoadsACandidateBesideWhatServes) {
  desired.deployments = {Try(2, 5, 1)};
  observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
  observed.routes[kShoes] = To(1, {kFirst});
  EXPECT_THAT(Decide(), ElementsAre(Load(2, "default-0")));
  observed.workers[kFirst].models[Shoes(2)] = In(ModelState::kLoading);
  EXPECT_THAT(Decide(), IsEmpty());
  EXPECT_EQ(Summarize(desired.deployments[0], observed).state, SummaryState::kLoading);
  observed.workers[kFirst].models[Shoes(2)] = Failed(1, absl::Seconds(1));
  EXPECT_THAT(Decide(), IsEmpty()) << "a candidate that failed to load is not routed";
  EXPECT_EQ(Summarize(desired.deployments[0], observed).state, SummaryState::kFailed);
  observed.workers[kFirst].models[Shoes(2)] = In(ModelState::kReady);
  EXPECT_THAT(Decide(), ElementsAre(RouteBoth(1, 2, 5)));
}

TEST_F(ReconcileTest, AShareThatChangesIsPublished) {
  desired.deployments = {Try(2, 50, 1)};
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kReady)}});
  observed.routes[kShoes] = To(1, {kFirst});
  observed.routes[kShoes].candidate = {Version(2), 5, {kFirst}};
  EXPECT_THAT(Decide(), ElementsAre(RouteBoth(1, 2, 50)));
  observed.routes[kShoes].candidate->percent = 50;
  EXPECT_THAT(Decide(), IsEmpty());
  EXPECT_EQ(Summarize(desired.deployments[0], observed).state, SummaryState::kRollingOut);
}

TEST_F(ReconcileTest, ACandidateIsRoutedOnlyWhileItIsReadyOnAllItsWorkers) {
  desired.pools = {{"default", 2}};
  desired.deployments = {Try(2, 5, 1)};
  desired.deployments[0].replicas = 2;
  const ObservedWorker both =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kReady)}});
  observed.workers = {{kFirst, both}, {kSecond, both}};
  observed.workers[kSecond].models[Shoes(2)] = In(ModelState::kLoading);
  observed.routes[kShoes] = To(1, {kFirst, kSecond});
  EXPECT_THAT(Decide(), IsEmpty());
  observed.routes[kShoes].candidate = {Version(2), 5, {kFirst, kSecond}};
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-0, default-1")));
}

TEST_F(ReconcileTest, APromotionIsOneRouteAndWhatIsKeptStaysLoaded) {
  desired.deployments = {Want(2, 1)};
  desired.deployments[0].kept = Version(1);
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kReady)}});
  observed.routes[kShoes] = To(1, {kFirst});
  observed.routes[kShoes].candidate = {Version(2), 50, {kFirst}};
  EXPECT_THAT(Decide(), ElementsAre(Route(2, "default-0")));
  observed.routes[kShoes] = To(2, {kFirst});
  desired.deployments[0].serving = Version(2);
  EXPECT_THAT(Decide(), IsEmpty());
  desired.deployments[0].kept.reset();
  EXPECT_THAT(Decide(), ElementsAre(Unload(1, "default-0")));
}

TEST_F(ReconcileTest, ACandidateThatIsGivenUpIsUnloadedAfterItsDrain) {
  desired.deployments = {Want(1, 1)};
  desired.deployments[0].refused = "2 was rolled back: too slow";
  observed.workers[kFirst] =
      Up({{Shoes(1), In(ModelState::kReady)}, {Shoes(2), In(ModelState::kReady)}});
  observed.routes[kShoes] = To(1, {kFirst});
  observed.routes[kShoes].candidate = {Version(2), 5, {kFirst}};
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-0")));
  observed.routes[kShoes].candidate.reset();
  observed.workers[kFirst].models[Shoes(2)].unrouted_for = absl::Seconds(1);
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].models[Shoes(2)].unrouted_for = absl::Seconds(2);
  EXPECT_THAT(Decide(), ElementsAre(Unload(2, "default-0")));
  const DeploymentSummary summary = Summarize(desired.deployments[0], observed);
  EXPECT_EQ(summary.state, SummaryState::kRolledBack);
  EXPECT_EQ(summary.error, "2 was rolled back: too slow");
}

class IsolationTest : public ReconcileTest {
 protected:
  IsolationTest() {
    desired.pools = {{.name = "default", .workers = 1, .isolated = 2}};
    observed.workers[kFirst] = Up();
  }

  void Deploy(const std::string& tenant, const std::string& name) {
    DesiredDeployment deployment = Want(1);
    deployment.name = {tenant, name};
    deployment.wanted = VersionName{{tenant, "cnn"}, 1};
    deployment.isolated = {*deployment.wanted};
    observed.routes[deployment.name] = {};
    desired.deployments.push_back(std::move(deployment));
  }
  static ObservedWorker For(const std::string& tenant, ObservedWorker worker = Up()) {
    worker.owner = "tenants/" + tenant;
    return worker;
  }
  static ModelKey Key(const std::string& tenant, const std::string& name) {
    return {{tenant, name}, {{tenant, "cnn"}, 1}};
  }
};

TEST_F(IsolationTest, AnUploadedVersionGetsAWorkerThatIsStartedForItsTenant) {
  Deploy("acme", "a");
  Deploy("globex", "b");
  EXPECT_THAT(Decide(), ElementsAre("start default-1 for tenants/acme",
                                    "start default-2 for tenants/globex"));
  observed.workers[kSecond] = For("acme");
  observed.workers[{"default", 2}] = For("globex");
  EXPECT_THAT(
      Decide(),
      ElementsAre(
          "load tenants/acme/models/cnn/versions/1 of tenants/acme/deployments/a on default-1",
          "load tenants/globex/models/cnn/versions/1 of tenants/globex/deployments/b on "
          "default-2"));
}

TEST_F(IsolationTest, ATenantsUploadedVersionsShareItsWorker) {
  Deploy("acme", "a");
  Deploy("acme", "b");
  EXPECT_THAT(Decide(), ElementsAre("start default-1 for tenants/acme"));
}

TEST_F(IsolationTest, CodeGetsAWorkerOfItsOwnThatNothingElseComesTo) {
  Deploy("acme", "a");
  Deploy("acme", "script");
  DesiredDeployment& script = desired.deployments.back();
  script.wanted = VersionName{{"acme", "script"}, 3};
  script.isolated = script.alone = {*script.wanted};
  EXPECT_THAT(Decide(), ElementsAre("start default-1 for tenants/acme",
                                    "start default-2 for tenants/acme/models/script/versions/3"));
  // Not even the next version of it.
  observed.workers[kSecond] = For("acme");
  ObservedWorker own = Up();
  own.owner = "tenants/acme/models/script/versions/3";
  observed.workers[{"default", 2}] = own;
  script.wanted = VersionName{{"acme", "script"}, 4};
  script.isolated = script.alone = {*script.wanted};
  EXPECT_THAT(Decide(), ElementsAre("load tenants/acme/models/cnn/versions/1 of "
                                    "tenants/acme/deployments/a on default-1",
                                    "retire default-2"));
}

TEST_F(IsolationTest, WhyItsWorkerWentDownIsToldUntilTheModelIsReady) {
  Deploy("acme", "a");
  ObservedWorker worker = For("acme", Up({{Key("acme", "a"), In(ModelState::kLoading)}}));
  worker.down_reason = "a model ran for longer than it may";
  observed.workers[kSecond] = worker;
  const DeploymentSummary summary = Summarize(desired.deployments[0], observed);
  EXPECT_EQ(summary.state, SummaryState::kLoading);
  EXPECT_EQ(summary.error, "worker default-1 was down: a model ran for longer than it may");
}

TEST_F(IsolationTest, WhereAllIsolatedWorkersAreOthersTheDeploymentSaysSo) {
  Deploy("acme", "a");
  Deploy("globex", "b");
  Deploy("initech", "c");
  observed.workers[kSecond] = For("acme", Up({{Key("acme", "a"), In(ModelState::kReady)}}));
  observed.workers[{"default", 2}] =
      For("globex", Up({{Key("globex", "b"), In(ModelState::kReady)}}));
  for (const std::string& action : Decide()) {
    EXPECT_THAT(action, testing::Not(testing::HasSubstr("initech")));
  }
  const DeploymentSummary summary = Summarize(desired.deployments[2], observed);
  EXPECT_EQ(summary.state, SummaryState::kPending);
  EXPECT_EQ(summary.error,
            "tenants/initech/models/cnn/versions/1 waits for an isolated worker, which no other "
            "tenant uses");
}

TEST_F(IsolationTest, AWorkerThatNobodyNeedsIsRetiredAndThenServesAnotherTenant) {
  observed.workers[kSecond] = For("acme");
  observed.workers[{"default", 2}] = For("globex", Up({{Key("globex", "b"), {}}}));
  Deploy("globex", "b");
  Deploy("initech", "c");
  EXPECT_THAT(Decide(), ElementsAre("retire default-1"));
  observed.workers[kSecond].ending = true;
  EXPECT_THAT(Decide(), IsEmpty());
  ObservedWorker down;
  down.owner = "tenants/acme";
  observed.workers[kSecond] = down;
  EXPECT_THAT(Decide(), ElementsAre("start default-1 for tenants/initech"));
}

TEST_F(IsolationTest, AWorkerThatIsEndingTakesNothingNew) {
  observed.workers[kSecond] = For("acme");
  observed.workers[kSecond].ending = true;
  Deploy("acme", "a");
  EXPECT_THAT(Decide(), ElementsAre("start default-2 for tenants/acme"));
}

TEST_F(IsolationTest, OneTenantsCrashesDoNotHoldUpAnother) {
  ObservedWorker down;
  down.owner = "tenants/acme";
  down.failed_starts = 9;
  down.down_for = absl::ZeroDuration();
  observed.workers[kSecond] = down;
  Deploy("acme", "a");
  EXPECT_THAT(Decide(), IsEmpty()) << "its own start waits";
  desired.deployments.clear();
  observed.routes.clear();
  Deploy("globex", "b");
  EXPECT_THAT(Decide(), ElementsAre("start default-1 for tenants/globex"));
}

class RecycleTest : public ReconcileTest {
 protected:
  RecycleTest() {
    desired.pools = {{.name = "default", .workers = 2, .isolated = 1, .spare = true}};
    desired.patience.fragmented = absl::Minutes(1);
    desired.deployments = {Want(1, 1)};
    observed.workers[kFirst] = Up({{Shoes(1), In(ModelState::kReady)}});
    observed.workers[kSecond] = Up();
    observed.routes[kShoes] = To(1, {kFirst});
  }
  const WorkerId kSpare{"default", 3};
};

TEST_F(RecycleTest, TheSpareRestsWhileNoWorkerIsReplaced) {
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst].fragmented_for = absl::Seconds(59);
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecycleTest, AnotherWorkerTakesOverAndThenTheOldOneEnds) {
  observed.workers[kFirst].fragmented_for = absl::Minutes(1);
  EXPECT_THAT(Decide(), ElementsAre("start default-3"));
  observed.workers[kSpare].state = WorkerState::kStarting;
  EXPECT_THAT(Decide(), IsEmpty()) << "it serves until there is another";
  observed.workers[kSpare] = Up();
  // The second one has room, too, and comes first.
  EXPECT_THAT(Decide(), ElementsAre(Load(1, "default-1")));
  observed.workers[kSecond].models = {{Shoes(1), In(ModelState::kLoading)}};
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kSecond].models = {{Shoes(1), In(ModelState::kReady)}};
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-1")));
  observed.routes[kShoes] = To(1, {kSecond});
  ObservedModel& old = observed.workers[kFirst].models.at(Shoes(1));
  old.unrouted_for = absl::Seconds(1);
  EXPECT_THAT(Decide(), IsEmpty()) << "its calls end first";
  old.unrouted_for = desired.patience.drain;
  EXPECT_THAT(Decide(), ElementsAre(Unload(1, "default-0")));
  observed.workers[kFirst].models.clear();
  EXPECT_THAT(Decide(), ElementsAre("retire default-0"));
  observed.workers[kFirst].ending = true;
  EXPECT_THAT(Decide(), IsEmpty());
  observed.workers[kFirst] = ObservedWorker{};
  EXPECT_THAT(Decide(), IsEmpty()) << "it is the spare now";
}

TEST_F(RecycleTest, OneOfAPoolAtATime) {
  observed.workers[kFirst].fragmented_for = absl::Minutes(2);
  observed.workers[kSecond].fragmented_for = absl::Minutes(2);
  observed.workers[kSpare] = Up();
  EXPECT_THAT(Decide(), ElementsAre(Load(1, "default-1")));
}

TEST_F(RecycleTest, AReplacementThatDoesNotStartTakesNothingAway) {
  observed.workers[kFirst].fragmented_for = absl::Minutes(1);
  observed.workers[kSpare].failed_starts = 3;
  observed.workers[kSpare].down_for = absl::ZeroDuration();
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecycleTest, WithoutASpareNothingIsReplaced) {
  desired.pools[0].spare = false;
  observed.workers[kFirst].fragmented_for = absl::Minutes(2);
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecycleTest, OneThatIsWellAgainMakesTheExtraOneGo) {
  observed.workers[kSpare] = Up();
  EXPECT_THAT(Decide(), ElementsAre("retire default-3"));
}

TEST_F(RecycleTest, AnIsolatedWorkerIsReplacedWhereAnotherHasRoom) {
  const WorkerId own{"default", 2};
  desired.deployments[0].isolated = {Version(1)};
  observed.workers[kFirst].models.clear();
  observed.workers[own] = Up({{Shoes(1), In(ModelState::kReady)}});
  observed.workers[own].owner = "tenants/acme";
  observed.workers[own].fragmented_for = absl::Minutes(2);
  observed.routes[kShoes] = To(1, {own});
  EXPECT_THAT(Decide(), IsEmpty());
  desired.pools[0].isolated = 2;  // the spare's place is behind it
  EXPECT_THAT(Decide(), ElementsAre("start default-3 for tenants/acme"));
  observed.workers[{"default", 3}] = Up({{Shoes(1), In(ModelState::kReady)}});
  observed.workers[{"default", 3}].owner = "tenants/acme";
  EXPECT_THAT(Decide(), ElementsAre(Route(1, "default-3")));
}

// A world in which actions have their effects a little later, workers die and hang, loads fail
// and owners change their minds. Whatever happens, the rules hold at each step; and once the
// world calms down, everything wanted serves and nothing else is left.
class World {
 public:
  explicit World(unsigned seed) : random_(seed) {
    desired_.pools = {
        {.name = "default", .workers = kShared, .isolated = kIsolated, .spare = true}};
    desired_.patience.fragmented = absl::Seconds(1);
    desired_.patience.drain = absl::Seconds(2);
  }

  void Disturb() {
    switch (Pick(10)) {
      case 0: {
        DesiredDeployment wants = Want(1 + Pick(3));
        wants.name = {Pick(2) == 0 ? "acme" : "globex",
                      std::string(1, static_cast<char>('a' + Pick(3)))};
        wants.replicas = 1 + Pick(3);
        wants.isolated = {kUploaded};
        if (Find(wants.name) == nullptr) desired_.deployments.push_back(wants);
        break;
      }
      case 1:
        if (DesiredDeployment* d = Any()) {
          d->wanted = Version(1 + Pick(4));
          if (d->candidate == d->wanted) d->candidate.reset();
        }
        break;
      case 2:
        if (DesiredDeployment* d = Any()) d->replicas = 1 + Pick(3);
        break;
      case 3:
        if (DesiredDeployment* d = Any(); d != nullptr && Pick(3) == 0) d->deleting = true;
        break;
      case 4: {
        ObservedWorker& worker = AnyWorker();
        if (worker.state != WorkerState::kDown) Die(worker);
        break;
      }
      case 5:
        if (DesiredDeployment* d = Any()) {
          d->candidate = Version(1 + Pick(4));
          d->percent = Pick(101);
          if (d->candidate == d->wanted || Pick(3) == 0) d->candidate.reset();
        }
        break;
      case 6:  // promoted
        if (DesiredDeployment* d = Any(); d != nullptr && d->candidate) {
          d->wanted = std::exchange(d->candidate, std::nullopt);
        }
        break;
      case 7:
        AnyWorker().silent_for = absl::Seconds(Pick(120));
        break;
      case 8:
        if (ObservedWorker& worker = AnyWorker(); worker.state == WorkerState::kUp) {
          if (Pick(3) == 0) worker.fragmented_for = absl::ZeroDuration();
        }
        break;
      default:
        break;
    }
  }

  void Tick(bool calm) {
    for (auto& [id, worker] : observed_.workers) {
      worker.down_for += kTick;
      if (worker.fragmented_for) *worker.fragmented_for += kTick;
      if (worker.ending && Pick(3) == 0) worker = ObservedWorker{};
      if (worker.state == WorkerState::kStarting && Pick(2) == 0) worker.state = WorkerState::kUp;
      if (worker.state == WorkerState::kUp && calm) worker.silent_for = absl::ZeroDuration();
      for (auto model = worker.models.begin(); model != worker.models.end();) {
        model->second.unrouted_for += kTick;
        model->second.failed_for += kTick;
        if (model->second.state == ModelState::kLoading && Pick(3) == 0) {
          // Version 4 never loads.
          const bool fails = model->first.version.number == 4 || (!calm && Pick(4) == 0);
          model->second.state = fails ? ModelState::kFailed : ModelState::kReady;
          model->second.failed_for = absl::ZeroDuration();
          if (fails) ++model->second.failures;
        } else if (model->second.state == ModelState::kUnloading && Pick(2) == 0) {
          model = worker.models.erase(model);
          continue;
        }
        ++model;
      }
    }
    for (const auto& [name, route] : observed_.routes) {
      for (const WorkerId& id : route.workers) {
        auto& models = observed_.workers[id].models;
        if (const auto model = models.find({name, *route.version}); model != models.end()) {
          model->second.unrouted_for = absl::ZeroDuration();
        }
      }
      if (!route.candidate) continue;
      for (const WorkerId& id : route.candidate->workers) {
        auto& models = observed_.workers[id].models;
        if (const auto model = models.find({name, route.candidate->version});
            model != models.end()) {
          model->second.unrouted_for = absl::ZeroDuration();
        }
      }
    }
    for (const Action& action : Reconcile(desired_, observed_)) {
      std::visit([this](const auto& a) { Apply(a); }, action);
    }
  }

  bool Settled() const { return Reconcile(desired_, observed_).empty(); }

  void ExpectAllServed() const {
    std::set<std::pair<WorkerId, ModelKey>> needed;
    for (const DesiredDeployment& d : desired_.deployments) {
      EXPECT_FALSE(d.deleting) << d.name.ToString();
      const auto route = observed_.routes.find(d.name);
      ASSERT_NE(route, observed_.routes.end());
      if (d.wanted->number == 4) continue;  // What served before is checked at each step.
      EXPECT_EQ(route->second.version, d.wanted);
      EXPECT_EQ(static_cast<int>(route->second.workers.size()), d.replicas);
      const bool loads = d.candidate && d.candidate->number != 4;
      EXPECT_EQ(route->second.candidate.has_value(), loads);
      if (loads) {
        EXPECT_EQ(route->second.candidate->percent, d.percent);
        EXPECT_EQ(static_cast<int>(route->second.candidate->workers.size()), d.replicas);
      }
      if (d.candidate && !loads) continue;
      EXPECT_EQ(Summarize(d, observed_).state,
                loads ? SummaryState::kRollingOut : SummaryState::kReady);
    }
    int shared = 0;
    for (const auto& [id, worker] : observed_.workers) {
      if (worker.state == WorkerState::kDown) continue;
      if (IsShared(id)) {
        ++shared;
        EXPECT_FALSE(worker.fragmented_for) << id.ToString() << " was not replaced";
      } else {
        EXPECT_FALSE(worker.models.empty()) << id.ToString() << " runs for nothing";
      }
    }
    EXPECT_EQ(shared, kShared);
  }

 private:
  static constexpr absl::Duration kTick = absl::Milliseconds(500);
  static constexpr int kShared = 3;
  // For two tenants with three replicas each.
  static constexpr int kIsolated = 6;
  inline static const VersionName kUploaded = Version(3);

  static bool IsShared(const WorkerId& id) {
    return id.index < kShared || id.index == kShared + kIsolated;
  }
  ObservedWorker& AnyWorker() {
    return observed_.workers[{"default", Pick(kShared + kIsolated + 1)}];
  }

  void Apply(const StartWorker& a) {
    ObservedWorker& worker = observed_.workers[a.worker];
    ASSERT_EQ(worker.state, WorkerState::kDown);
    ASSERT_EQ(a.owner.empty(), IsShared(a.worker));
    worker.owner = a.owner;
    worker.state = WorkerState::kStarting;
    worker.silent_for = absl::ZeroDuration();
  }
  void Apply(const StopWorker& a) {
    ASSERT_NE(observed_.workers[a.worker].state, WorkerState::kDown);
    Die(observed_.workers[a.worker]);
  }
  void Apply(const RetireWorker& a) {
    ObservedWorker& worker = observed_.workers[a.worker];
    if (IsShared(a.worker)) {
      const auto up =
          std::count_if(observed_.workers.begin(), observed_.workers.end(), [&](const auto& other) {
            return IsShared(other.first) && other.second.state == WorkerState::kUp &&
                   !other.second.ending && other.second.silent_for < desired_.patience.silence;
          });
      ASSERT_GT(up, kShared) << "ends one that nobody replaces";
    }
    ASSERT_TRUE(worker.models.empty());
    ASSERT_FALSE(worker.ending);
    worker.ending = true;
  }
  void Apply(const LoadModel& a) {
    ObservedWorker& worker = observed_.workers[a.worker];
    ASSERT_EQ(worker.owner,
              a.model.version == kUploaded ? "tenants/" + a.model.deployment.tenant : "")
        << "loads what its tenant made beside what is others'";
    ASSERT_EQ(worker.state, WorkerState::kUp);
    ASSERT_LT(worker.silent_for, desired_.patience.silence);
    ObservedModel& model = worker.models[a.model];
    ASSERT_TRUE(model.state == ModelState::kFailed || model.failures == 0);
    ASSERT_NE(model.state, ModelState::kReady);
    model.state = ModelState::kLoading;
  }
  void Apply(const UnloadModel& a) {
    ObservedModel& model = observed_.workers[a.worker].models.at(a.model);
    const ObservedRoute& route = observed_.routes[a.model.deployment];
    ASSERT_FALSE(Routes(route, a.worker, a.model.version)) << "unloads what is routed";
    ASSERT_GE(model.unrouted_for, desired_.patience.drain);
    model.state = ModelState::kUnloading;
  }
  void Apply(const SetRoute& a) {
    for (const WorkerId& id : a.route.workers) {
      const ObservedWorker& worker = observed_.workers[id];
      ASSERT_EQ(worker.state, WorkerState::kUp);
      ASSERT_EQ(worker.models.at({a.deployment, *a.route.version}).state, ModelState::kReady)
          << "routes what is not ready";
    }
    ASSERT_EQ(a.route.version.has_value(), !a.route.workers.empty());
    if (const auto& candidate = a.route.candidate) {
      ASSERT_FALSE(candidate->workers.empty());
      for (const WorkerId& id : candidate->workers) {
        ASSERT_EQ(observed_.workers[id].state, WorkerState::kUp);
        ASSERT_EQ(observed_.workers[id].models.at({a.deployment, candidate->version}).state,
                  ModelState::kReady)
            << "routes a candidate that is not ready";
      }
    }
    DesiredDeployment* deployment = Find(a.deployment);
    ASSERT_NE(deployment, nullptr);
    // A route ends only when nothing that it names is left to serve.
    const ObservedRoute& old = observed_.routes[a.deployment];
    if (!a.route.version) {
      for (const WorkerId& id : old.workers) {
        const ObservedWorker& worker = observed_.workers[id];
        const bool serves = worker.state == WorkerState::kUp &&
                            worker.silent_for < desired_.patience.silence &&
                            worker.models.contains({a.deployment, *old.version});
        ASSERT_FALSE(serves) << "takes a serving version away";
      }
    }
    observed_.routes[a.deployment] = a.route;
    if (a.route.version) deployment->serving = a.route.version;
  }
  void Apply(const RemoveRoute& a) { ASSERT_EQ(observed_.routes.erase(a.deployment), 1u); }
  void Apply(const ForgetDeployment& a) {
    ASSERT_TRUE(Find(a.deployment)->deleting);
    std::erase_if(desired_.deployments,
                  [&](const DesiredDeployment& d) { return d.name == a.deployment; });
  }

  void Die(ObservedWorker& worker) {
    std::string owner = std::move(worker.owner);
    worker = ObservedWorker{};
    worker.owner = std::move(owner);
    worker.failed_starts = 1;
    worker.down_for = absl::ZeroDuration();
  }
  int Pick(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  DesiredDeployment* Any() {
    if (desired_.deployments.empty()) return nullptr;
    return &desired_.deployments[random_() % desired_.deployments.size()];
  }
  DesiredDeployment* Find(const DeploymentName& name) {
    for (DesiredDeployment& d : desired_.deployments) {
      if (d.name == name) return &d;
    }
    return nullptr;
  }

  std::mt19937 random_;
  Desired desired_;
  Observed observed_;
};

TEST(ReconcileWorldTest, KeepsItsRulesInAnyOrderOfEventsAndSettles) {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (int step = 0; step < 150; ++step) {
      world.Disturb();
      world.Tick(/*calm=*/false);
      if (HasFatalFailure()) return;
    }
    int steps = 0;
    // Long enough for the longest wait between two loads of a version that failed.
    while (steps < 6000 && !(steps > 3000 && world.Settled())) {
      world.Tick(/*calm=*/true);
      if (HasFatalFailure()) return;
      ++steps;
    }
    world.ExpectAllServed();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace slipway::controller
