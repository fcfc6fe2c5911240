#include "services/controller/controller.h"

#include <memory>

#include "fmt/ranges.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/services/controller/fakes.h"

namespace slipway::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using State = DeploymentSummary::State;
using slipway::worker::v1::RuntimeSettings;

constexpr char kVersion1[] = "tenants/acme/models/cnn/versions/1";
constexpr char kVersion2[] = "tenants/acme/models/cnn/versions/2";
constexpr char kAlias[] = "tenants/acme/models/cnn/aliases/prod";
const DeploymentName kShoes{"acme", "shoes"};
// Of the TorchScript file that the operator allows.
const std::string kAllowed = "sha256:" + std::string(64, 'a');

Principal Developer(const std::string& tenant) {
  Principal who;
  who.tenant = tenant;
  who.role = Role::kDeveloper;
  who.caller = ServiceId::kGateway;
  return who;
}

class ControllerTest : public testing::Test {
 protected:
  ControllerTest() {
    registry_.AddVersion(kVersion1);
    registry_.AddVersion(kVersion2);
    registry_.SetAlias(kAlias, kVersion1);
    Restart();
  }

  // A new process on the same store: nothing else is left, the workers died with the old one.
  void Restart() {
    controller_.reset();
    pool_ = std::make_unique<FakePool>("default", 2, isolated_, fragmented_above_ > 0);
    board_ = std::make_unique<RouteBoard>(0);
    workers_.Forget("default-0");
    workers_.Forget("default-1");
    ControllerOptions options;
    options.patience.drain = absl::Seconds(2);
    options.patience.fragmented = absl::Minutes(1);
    options.fragmented_above = fragmented_above_;
    options.torchscript_digests = {kAllowed};
    controller_ = std::make_unique<Controller>(store_, registry_, workers_,
                                               std::vector<WorkerPool*>{pool_.get()}, *board_,
                                               clock_, metrics_, options, [this] { ++wakes_; });
    ASSERT_TRUE(controller_->Load().ok());
  }

  absl::StatusOr<DeploymentView> Create(const DeploymentRequest& request,
                                        std::string_view request_id = "") {
    return controller_->Create(acme_, "tenants/acme", "shoes", request, request_id);
  }

  // As long as it takes, with loads ending at once.
  void Settle(const std::set<int64_t>& failing = {}) {
    for (int i = 0; i < 100; ++i) {
      controller_->Resolve();
      if (controller_->Step()) return;
      workers_.FinishLoads(failing);
      clock_.Advance(absl::Milliseconds(100));
    }
    FAIL() << "never settles";
  }

  DeploymentView Shoes() {
    absl::StatusOr<DeploymentView> view = controller_->Get(acme_, kShoes);
    EXPECT_TRUE(view.ok()) << view.status();
    return *view;
  }

  // "shoes: 1 on default-0" for each route of the newest table; with shares where there are two
  // versions: "shoes: 95% 1 on default-0 5% 2 on default-0".
  std::vector<std::string> Routes() {
    std::vector<std::string> texts;
    const auto table = board_->WaitForNewer(-1, absl::ZeroDuration());
    if (table == nullptr) return {"no table"};
    for (const v1::Route& route : table->routes()) {
      std::string text = DeploymentName::Parse("deployment", route.deployment())->id + ":";
      for (const v1::Route::Target& target : route.targets()) {
        if (route.targets_size() > 1) text += fmt::format(" {}%", target.weight());
        text += fmt::format(" {} on {}", VersionName::Parse("", target.model_version())->number,
                            fmt::join(target.workers(), ","));
      }
      texts.push_back(text);
    }
    return texts;
  }

  static RolloutPolicy Policy(Strategy strategy) {
    RolloutPolicy policy;
    policy.strategy = strategy;
    policy.steps = {5, 50};
    policy.keep_previous = absl::Minutes(10);
    return policy;
  }

  // Version 1 serves; 2 is wanted, on trial as `policy` says, and ready.
  void BeginRollout(const RolloutPolicy& policy) {
    ASSERT_TRUE(Create({.model_version = kVersion1, .rollout = policy}).ok());
    Settle();
    ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
    Settle();
    controller_->Step();  // what became ready is looked at
  }

  // What a gateway measured.
  void Report(int64_t number, int64_t answered, int64_t errors) {
    TrafficReport report{kShoes, {{"acme", "cnn"}, number}, {}};
    report.traffic.errors = errors;
    report.traffic.answered.buckets[20] = answered;
    ASSERT_TRUE(controller_->ReportTraffic(gateway_, {report}).ok());
  }

  Trial::Phase Phase() { return Shoes().deployment.trial->phase; }

  const Principal acme_ = Developer("acme");
  const Principal gateway_ = [] {
    Principal who;
    who.caller = ServiceId::kGateway;
    return who;
  }();
  const Principal other_ = Developer("other");
  FakeClock clock_;
  Metrics metrics_{"controller"};
  FakeDeploymentStore store_;
  FakeRegistry registry_;
  FakeWorkers workers_;
  int isolated_ = 1;  // workers
  double fragmented_above_ = 0;
  std::unique_ptr<FakePool> pool_;
  std::unique_ptr<RouteBoard> board_;
  std::unique_ptr<Controller> controller_;
  int wakes_ = 0;
};

TEST_F(ControllerTest, CreatesLoadsAndRoutes) {
  const auto created = Create({.model_version = kVersion1});
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->summary.state, State::kPending);
  EXPECT_EQ(created->deployment.pool, "default");
  EXPECT_EQ(created->deployment.replicas, 1);
  EXPECT_EQ(created->deployment.create_time, clock_.Now());
  EXPECT_EQ(wakes_, 1);

  Settle();
  const DeploymentView view = Shoes();
  EXPECT_EQ(view.summary.state, State::kReady);
  EXPECT_EQ(view.summary.serving->ToString(), kVersion1);
  EXPECT_EQ(view.summary.ready_replicas, 1);
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  const auto table = board_->WaitForNewer(-1, absl::ZeroDuration());
  EXPECT_THAT(table->routes(0).targets(0).labels(), ElementsAre("boot"));
}

TEST_F(ControllerTest, WhatATenantUploadedRunsInAWorkerOfItsOwn) {
  registry_.AddVersion(kVersion2, FakeRegistry::ModelVersion::UPLOADED);
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  EXPECT_FALSE(pool_->Workers()[2].running);
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-2"));
  EXPECT_EQ(pool_->Workers()[2].owner, "tenants/acme");
  ASSERT_TRUE(controller_->Delete(acme_, kShoes).ok());
  Settle();
  EXPECT_FALSE(pool_->Workers()[2].running) << "nobody needs it";
}

TEST_F(ControllerTest, APipelineIsLoadedWithTheVersionsOfItsSteps) {
  const std::string step = "tenants/acme/models/normalise/versions/1";
  registry_.AddPipeline(kVersion2, {kVersion1, step, kVersion1});
  EXPECT_FALSE(Create({.model_version = kVersion2}).ok()) << "the registry lacks a step";
  registry_.AddVersion(step);
  ASSERT_TRUE(Create({.model_version = kVersion2}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-0"));
  EXPECT_EQ(workers_.newest_version().version.name(), kVersion2);
  std::vector<std::string> steps;
  for (const auto& each : workers_.newest_version().steps) steps.push_back(each.name());
  EXPECT_THAT(steps, ElementsAre(kVersion1, step)) << "each once";
}

TEST_F(ControllerTest, APoolWithoutIsolatedWorkersSaysThatItTakesNoUploadedModel) {
  isolated_ = 0;
  Restart();
  registry_.AddVersion(kVersion2, FakeRegistry::ModelVersion::UPLOADED);
  ASSERT_TRUE(Create({.model_version = kVersion2}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes:"));
  EXPECT_EQ(Shoes().summary.state, State::kPending);
  EXPECT_EQ(Shoes().summary.error, "pool \"default\" does not load models that tenants uploaded");
}

TEST_F(ControllerTest, TorchScriptIsDeployedOnlyWhereItsFileIsAllowed) {
  const std::string unknown = "sha256:" + std::string(64, 'b');
  registry_.AddTorchScript(kVersion2, unknown);
  const absl::Status refused = Create({.model_version = kVersion2}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              testing::AllOf(HasSubstr(unknown), HasSubstr("torchscript.digests")));

  static constexpr char kVersion3[] = "tenants/acme/models/cnn/versions/3";
  registry_.AddTorchScript(kVersion3, kAllowed);
  ASSERT_TRUE(Create({.model_version = kVersion3}).ok());
  controller_->Step();
  // The operator brought it, and it has a process of its own all the same.
  EXPECT_EQ(pool_->Workers()[2].owner, kVersion3);
}

TEST_F(ControllerTest, AModelIsLoadedAsTheDeploymentWantsItRun) {
  RuntimeSettings settings;
  settings.set_runtime(RuntimeSettings::OPENVINO);
  settings.set_precision(RuntimeSettings::BFLOAT16);
  ASSERT_TRUE(Create({.model_version = kVersion1, .runtime = settings}).ok());
  Settle();
  EXPECT_EQ(workers_.newest_runtime().SerializeAsString(), settings.SerializeAsString());
  EXPECT_EQ(Shoes().deployment.runtime.runtime(), RuntimeSettings::OPENVINO);
  // It stays so, also through a restart, and an update that says nothing of it or the same.
  Restart();
  Settle();
  EXPECT_EQ(workers_.newest_runtime().SerializeAsString(), settings.SerializeAsString());
  EXPECT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  EXPECT_TRUE(controller_->Update(acme_, kShoes, {.model_version = "", .runtime = settings}).ok());
  settings.set_precision(RuntimeSettings::FLOAT32);
  EXPECT_EQ(
      FieldOf(
          controller_->Update(acme_, kShoes, {.model_version = "", .runtime = settings}).status()),
      "deployment.runtime");
}

TEST_F(ControllerTest, WhatAReadyWorkerKnowsOfAModelIsToldToOwnersAndGateways) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  slipway::worker::v1::ModelFacts facts;
  facts.set_platform("slipway_openvino");
  facts.mutable_signature()->add_inputs()->set_name("picture");
  workers_.SetFacts(facts);
  Settle();
  EXPECT_EQ(Shoes().summary.facts.platform(), "slipway_openvino");
  const auto table = board_->WaitForNewer(-1, absl::ZeroDuration());
  EXPECT_EQ(table->routes(0).targets(0).signature().inputs(0).name(), "picture");
}

TEST_F(ControllerTest, ADeploymentThatNothingServesYetHasARouteWithoutTargets) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes:"));
}

TEST_F(ControllerTest, RefusesBadRequestsNamingTheField) {
  RuntimeSettings unknown;
  unknown.set_precision(static_cast<RuntimeSettings::Precision>(99));
  RuntimeSettings senseless;
  senseless.mutable_batching()->set_max_rows(4);
  senseless.mutable_batching()->add_preferred_rows(8);
  const struct {
    std::string parent;
    std::string id;
    DeploymentRequest request;
    std::string request_id;
    std::string field;
  } rows[] = {
      {"acme", "shoes", {kVersion1}, "", "parent"},
      {"tenants/acme", "Shoes!", {kVersion1}, "", "deployment_id"},
      {"tenants/acme", "shoes", {"cnn"}, "", "deployment.model_version"},
      {"tenants/acme", "shoes", {""}, "", "deployment.model_version"},
      {"tenants/acme",
       "shoes",
       {"tenants/acme/models/cnn/versions/9"},
       "",
       "deployment.model_version"},
      {"tenants/acme",
       "shoes",
       {"tenants/other/models/cnn/versions/1"},
       "",
       "deployment.model_version"},
      {"tenants/acme", "shoes", {kVersion1, "gpu"}, "", "deployment.pool"},
      {"tenants/acme", "shoes", {kVersion1, "", 3}, "", "deployment.replicas"},
      {"tenants/acme", "shoes", {kVersion1, "", -1}, "", "deployment.replicas"},
      {"tenants/acme", "shoes", {kVersion1}, std::string(129, 'x'), "request_id"},
      {"tenants/acme", "shoes", {kVersion1, "", 0, unknown}, "", "deployment.runtime.precision"},
      {"tenants/acme",
       "shoes",
       {kVersion1, "", 0, senseless},
       "",
       "deployment.runtime.batching.preferred_rows[0]"},
  };
  for (const auto& row : rows) {
    const auto created =
        controller_->Create(acme_, row.parent, row.id, row.request, row.request_id);
    EXPECT_EQ(FieldOf(created.status()), row.field) << created.status();
  }
  EXPECT_TRUE(store_.All()->empty());
}

TEST_F(ControllerTest, AVersionOfAnotherTenantReadsLikeAnAbsentOne) {
  registry_.AddVersion("tenants/other/models/cnn/versions/1");
  const auto theirs = Create({.model_version = "tenants/other/models/cnn/versions/1"});
  const auto absent = Create({.model_version = "tenants/acme/models/cnn/versions/9"});
  EXPECT_EQ(theirs.status().message(),
            "deployment.model_version: tenants/other/models/cnn/versions/1 was not found");
  EXPECT_EQ(absent.status().message(),
            "deployment.model_version: tenants/acme/models/cnn/versions/9 was not found");
}

TEST_F(ControllerTest, AnotherTenantsDeploymentReadsLikeAnAbsentOne) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  const DeploymentName absent{"acme", "absent"};
  const auto message = [](const absl::Status& status, std::string_view id) {
    std::string text(status.message());
    text.replace(text.find(id), id.size(), "*");
    return std::make_pair(status.code(), text);
  };
  EXPECT_EQ(message(controller_->Get(other_, kShoes).status(), "shoes"),
            message(controller_->Get(acme_, absent).status(), "absent"));
  EXPECT_EQ(message(controller_->Update(other_, kShoes, {}).status(), "shoes"),
            message(controller_->Update(acme_, absent, {}).status(), "absent"));
  EXPECT_EQ(message(controller_->Delete(other_, kShoes), "shoes"),
            message(controller_->Delete(acme_, absent), "absent"));
  EXPECT_TRUE(absl::IsNotFound(controller_->List(other_, "tenants/acme", 0, "").status()));
  EXPECT_TRUE(absl::IsNotFound(
      controller_->Create(other_, "tenants/acme", "mine", {kVersion1}, "").status()));
}

TEST_F(ControllerTest, APurgedTenantsDeploymentsGoAndNoOthers) {
  registry_.AddVersion("tenants/other/models/cnn/versions/1");
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  ASSERT_TRUE(controller_
                  ->Create(other_, "tenants/other", "boots",
                           {.model_version = "tenants/other/models/cnn/versions/1"}, "")
                  .ok());
  Settle();
  Principal operator_principal;
  operator_principal.role = Role::kOperator;
  const auto purge = [&](bool remove) {
    const auto content = controller_->PurgeTenant(operator_principal, {"acme"}, remove);
    EXPECT_TRUE(content.ok()) << content.status();
    return fmt::format("{} {}", content->kinds(0).count(), content->done() ? "done" : "there");
  };
  EXPECT_EQ(purge(false), "1 there");
  EXPECT_EQ(controller_->Create(acme_, "tenants/acme", "late", {kVersion1}, "").status(),
            NotFound("tenants/acme"));
  Settle();
  EXPECT_EQ(Routes().size(), 2u);
  EXPECT_EQ(purge(true), "1 there") << "a worker still has it";
  Settle();
  EXPECT_EQ(purge(true), "0 done");
  EXPECT_EQ(purge(true), "0 done");
  EXPECT_THAT(Routes(), ElementsAre(testing::StartsWith("boots: 1")));
  EXPECT_EQ(store_.All()->size(), 1u);
  EXPECT_EQ(controller_->PurgeTenant(acme_, {"acme"}, true).status(), NotFound("tenants/acme"));
}

TEST_F(ControllerTest, TheOperatorReachesEveryTenant) {
  Principal operator_principal;
  operator_principal.role = Role::kOperator;
  ASSERT_TRUE(
      controller_->Create(operator_principal, "tenants/acme", "shoes", {kVersion1}, "").ok());
  EXPECT_TRUE(controller_->Get(operator_principal, kShoes).ok());
}

TEST_F(ControllerTest, TheSameRequestIdAnswersWhatTheFirstCallMade) {
  const auto first = Create({.model_version = kVersion1}, "r1");
  ASSERT_TRUE(first.ok());
  registry_.SetFault(absl::UnavailableError("away"));
  clock_.Advance(absl::Seconds(1));
  const auto again = Create({.model_version = kVersion1}, "r1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->deployment.create_time, first->deployment.create_time);

  EXPECT_TRUE(absl::IsAlreadyExists(Create({.model_version = kVersion1}, "r2").status()));
  EXPECT_TRUE(absl::IsAlreadyExists(Create({.model_version = kVersion1}).status()));
  EXPECT_EQ(
      FieldOf(controller_->Create(acme_, "tenants/acme", "boots", {kVersion1}, "r1").status()),
      "request_id");
}

TEST_F(ControllerTest, TheRequestIdOutlivesARestart) {
  ASSERT_TRUE(Create({.model_version = kVersion1}, "r1").ok());
  Restart();
  EXPECT_TRUE(Create({.model_version = kVersion1}, "r1").ok());
}

TEST_F(ControllerTest, NothingIsMadeWhileTheRegistryIsAway) {
  registry_.SetFault(absl::UnavailableError("connection refused"));
  EXPECT_TRUE(absl::IsUnavailable(Create({.model_version = kVersion1}).status()));
  EXPECT_TRUE(store_.All()->empty());
}

TEST_F(ControllerTest, AFullDiskRefusesWritesAndServesOn) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  store_.SetFault(StorageFull("/data"));
  EXPECT_TRUE(IsStorageFull(controller_->Update(acme_, kShoes, {kVersion2}).status()));
  EXPECT_TRUE(IsStorageFull(controller_->Delete(acme_, kShoes)));
  EXPECT_TRUE(
      IsStorageFull(controller_->Create(acme_, "tenants/acme", "boots", {kVersion1}, "").status()));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_EQ(Shoes().deployment.model_version.ToString(), kVersion1);
}

TEST_F(ControllerTest, ListsByIdInPages) {
  for (const char* id : {"c", "a", "b"}) {
    ASSERT_TRUE(controller_->Create(acme_, "tenants/acme", id, {kVersion1}, "").ok());
  }
  registry_.AddVersion("tenants/acmex/models/cnn/versions/1");
  ASSERT_TRUE(controller_
                  ->Create(Developer("acmex"), "tenants/acmex", "z",
                           {"tenants/acmex/models/cnn/versions/1"}, "")
                  .ok());
  std::vector<std::string> ids;
  std::string token;
  int pages = 0;
  do {
    const auto page = controller_->List(acme_, "tenants/acme", 2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const DeploymentView& view : page->deployments) ids.push_back(view.deployment.name.id);
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_THAT(ids, ElementsAre("a", "b", "c"));
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(FieldOf(controller_->List(acme_, "tenants/acme", 0, "A/../b").status()), "page_token");
  EXPECT_EQ(FieldOf(controller_->List(acme_, "tenants/acme", -1, "").status()), "page_size");
}

TEST_F(ControllerTest, ANewVersionTakesOverWithoutAGap) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  workers_.TakeCalls();
  const auto updated = controller_->Update(acme_, kShoes, {.model_version = kVersion2});
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->deployment.generation, 2);
  EXPECT_EQ(updated->deployment.replicas, 1);
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_EQ(Shoes().summary.state, State::kPending);
  controller_->Step();
  EXPECT_EQ(Shoes().summary.state, State::kLoading);
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-0"));
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("load 2 on default-0", "unload 1 from default-0"));
}

TEST_F(ControllerTest, TheOldVersionIsUnloadedOnlyAfterTheDrain) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  controller_->Step();
  workers_.FinishLoads();
  workers_.TakeCalls();
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-0"));
  clock_.Advance(absl::Milliseconds(1900));
  controller_->Step();
  EXPECT_THAT(workers_.TakeCalls(), IsEmpty());
  clock_.Advance(absl::Milliseconds(200));
  controller_->Step();
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("unload 1 from default-0"));
}

TEST_F(ControllerTest, AVersionThatFailsToLoadKeepsTheOldOneAndSaysWhy) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  Settle(/*failing=*/{2});
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_EQ(Shoes().summary.state, State::kFailed);
  EXPECT_EQ(Shoes().summary.serving->ToString(), kVersion1);
  EXPECT_THAT(Shoes().summary.error, HasSubstr("digest differs"));

  // The second try comes by itself, and once it succeeds the new version takes over.
  workers_.TakeCalls();
  clock_.Advance(absl::Seconds(9));
  controller_->Step();
  EXPECT_THAT(workers_.TakeCalls(), IsEmpty());
  clock_.Advance(absl::Seconds(1));
  controller_->Step();
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("load 2 on default-0"));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-0"));
  EXPECT_EQ(Shoes().summary.error, "");
}

TEST_F(ControllerTest, FailedLoadsWaitLongerEachTime) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle({1});
  for (const int wait : {10, 20, 40}) {
    workers_.TakeCalls();
    clock_.Advance(absl::Seconds(wait) - absl::Milliseconds(200));
    controller_->Step();
    EXPECT_THAT(workers_.TakeCalls(), IsEmpty()) << wait;
    clock_.Advance(absl::Milliseconds(200));
    controller_->Step();
    EXPECT_THAT(workers_.TakeCalls(), ElementsAre("load 1 on default-0")) << wait;
    workers_.FinishLoads({1});
    controller_->Step();
  }
}

TEST_F(ControllerTest, AWorkerThatTakesNoLoadIsAskedAgainLater) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  workers_.RefuseLoads(absl::ResourceExhaustedError("no memory is left"));
  Settle();
  EXPECT_EQ(Shoes().summary.state, State::kFailed);
  EXPECT_THAT(Shoes().summary.error, HasSubstr("no memory is left"));
  workers_.RefuseLoads(absl::OkStatus());
  Settle();
  EXPECT_THAT(workers_.TakeCalls(), IsEmpty());
  clock_.Advance(absl::Seconds(10));
  Settle();
  EXPECT_EQ(Shoes().summary.state, State::kReady);
}

TEST_F(ControllerTest, AMovedAliasRollsTheNewVersionOut) {
  ASSERT_TRUE(Create({.model_version = kAlias}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  registry_.SetAlias(kAlias, kVersion2);
  EXPECT_TRUE(controller_->Resolve());
  EXPECT_FALSE(controller_->Resolve());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-0"));
  EXPECT_EQ(Shoes().deployment.model_version.ToString(), kAlias);
}

TEST_F(ControllerTest, AnAliasThatIsGoneKeepsWhatItNamedAndSaysSo) {
  ASSERT_TRUE(Create({.model_version = kAlias}).ok());
  Settle();
  registry_.Remove(kAlias);
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_THAT(Shoes().summary.error, HasSubstr(kAlias));
}

TEST_F(ControllerTest, ARegistryThatIsAwayChangesNothingThatServes) {
  ASSERT_TRUE(Create({.model_version = kAlias}).ok());
  Settle();
  registry_.SetFault(absl::UnavailableError("away"));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_EQ(Shoes().summary.error, "");
}

TEST_F(ControllerTest, AsksTheRegistryOnceForAVersionAndEachTimeForAnAlias) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  const int calls = registry_.calls();
  controller_->Resolve();
  EXPECT_EQ(registry_.calls(), calls);
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kAlias}).ok());
  controller_->Resolve();
  EXPECT_EQ(registry_.calls(), calls + 2);
}

TEST_F(ControllerTest, ADeadWorkerStartsAgainAndLoadsAgain) {
  ASSERT_TRUE(Create({.model_version = kVersion1, .replicas = 2}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0,default-1"));
  workers_.Forget("default-0");
  pool_->Die(0, "was killed by SIGKILL");
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-1"));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0,default-1"));
}

TEST_F(ControllerTest, ASilentWorkerLeavesTheRouteAfterAWhileAndComesBack) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  workers_.SetSilent("default-0", true);
  clock_.Advance(absl::Seconds(9));
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  clock_.Advance(absl::Seconds(2));
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes:"));
  workers_.FinishLoads();
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-1"));
}

TEST_F(ControllerTest, ARestartBringsEverythingBack) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  Restart();
  EXPECT_THAT(Routes(), ElementsAre("no table"));
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes:"));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
}

TEST_F(ControllerTest, ARestartDuringAFailedRolloutServesTheOldVersion) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  Settle({2});
  Restart();
  Settle({2});
  EXPECT_THAT(Routes(), ElementsAre(HasSubstr("shoes: 1 on")));
  EXPECT_EQ(Shoes().summary.state, State::kFailed);
}

TEST_F(ControllerTest, DeletesInOrderAndThenForgets) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  workers_.TakeCalls();
  ASSERT_TRUE(controller_->Delete(acme_, kShoes).ok());
  EXPECT_EQ(Shoes().summary.state, State::kDeleting);
  EXPECT_TRUE(controller_->Delete(acme_, kShoes).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(controller_->Update(acme_, kShoes, {kVersion2}).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(Create({.model_version = kVersion1}).status()));
  controller_->Step();
  EXPECT_THAT(Routes(), IsEmpty());
  EXPECT_THAT(workers_.TakeCalls(), IsEmpty());
  Settle();
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("unload 1 from default-0"));
  EXPECT_TRUE(absl::IsNotFound(controller_->Get(acme_, kShoes).status()));
  EXPECT_TRUE(store_.All()->empty());
  EXPECT_TRUE(Create({.model_version = kVersion1}).ok());
}

TEST_F(ControllerTest, ADeletionOutlivesARestart) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  ASSERT_TRUE(controller_->Delete(acme_, kShoes).ok());
  Restart();
  Settle();
  EXPECT_TRUE(store_.All()->empty());
  EXPECT_THAT(Routes(), IsEmpty());
}

TEST_F(ControllerTest, ACanaryTakesItsShareStepByStepAndThenAllCalls) {
  BeginRollout(Policy(Strategy::kCanary));
  EXPECT_THAT(Routes(), ElementsAre("shoes: 95% 1 on default-0 5% 2 on default-1"));
  EXPECT_EQ(Shoes().summary.state, State::kRollingOut);
  Report(1, 2000, 0);
  Report(2, 100, 0);
  clock_.Advance(absl::Seconds(60));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 50% 1 on default-0 50% 2 on default-1"));

  EXPECT_EQ(Shoes().traffic.candidate.calls(), 0) << "each step counts its own calls";
  clock_.Advance(absl::Seconds(60));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 50% 1 on default-0 50% 2 on default-1"));
  Report(1, 100, 0);
  Report(2, 100, 0);
  workers_.TakeCalls();
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-1"));
  EXPECT_EQ(Shoes().summary.state, State::kReady);
  EXPECT_EQ(Phase(), Trial::Phase::kPromoted);
  EXPECT_THAT(Shoes().deployment.trial->reason, HasSubstr("0.00% of 100 calls failed"));
  EXPECT_THAT(workers_.TakeCalls(), IsEmpty()) << "the version before is kept";
  clock_.Advance(absl::Minutes(10));
  Settle();
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("unload 1 from default-0"));
}

TEST_F(ControllerTest, ABadCanaryGoesBackByItselfAndSaysWhy) {
  BeginRollout(Policy(Strategy::kCanary));
  Report(1, 2000, 0);
  Report(2, 50, 50);
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_EQ(Shoes().summary.state, State::kRolledBack);
  EXPECT_THAT(Shoes().summary.error,
              HasSubstr("versions/2 was rolled back: too many calls failed: 50.00% of 100"));
  workers_.TakeCalls();
  Settle();
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("unload 2 from default-1"));

  // It stays away, over a restart too, until somebody asks for it again.
  Restart();
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_THAT(Shoes().summary.error, HasSubstr("50.00% of 100"));
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  Settle();
  EXPECT_EQ(Shoes().summary.state, State::kRollingOut);
}

TEST_F(ControllerTest, ACandidateThatFailsToLoadTakesNoCalls) {
  for (const Strategy strategy : {Strategy::kCanary, Strategy::kBlueGreen, Strategy::kWeighted}) {
    RolloutPolicy policy = Policy(strategy);
    policy.percent = 50;
    ASSERT_TRUE(Create({.model_version = kVersion1, .rollout = policy}).ok());
    Settle();
    ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
    Settle(/*failing=*/{2});
    EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
    EXPECT_EQ(Shoes().summary.state, State::kFailed);
    EXPECT_THAT(Shoes().summary.error, HasSubstr("digest differs"));
    EXPECT_TRUE(absl::IsFailedPrecondition(controller_->Promote(acme_, kShoes).status()));
    ASSERT_TRUE(controller_->Delete(acme_, kShoes).ok());
    Settle();
  }
}

TEST_F(ControllerTest, ACandidateThatLosesAWorkerGivesItsCallsBack) {
  RolloutPolicy policy = Policy(Strategy::kWeighted);
  policy.percent = 30;
  ASSERT_TRUE(Create({.model_version = kVersion1, .replicas = 2, .rollout = policy}).ok());
  Settle();
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 70% 1 on default-0,default-1 30% 2 on "
                                    "default-0,default-1"));
  workers_.Forget("default-0");
  pool_->Die(0, "was killed by SIGKILL");
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-1"));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre(HasSubstr("30% 2 on")));
}

TEST_F(ControllerTest, GreenIsReadyBesideBlueAndTakesAllCallsOncePromoted) {
  BeginRollout(Policy(Strategy::kBlueGreen));
  EXPECT_THAT(Routes(), ElementsAre("shoes: 100% 1 on default-0 0% 2 on default-1"));
  workers_.TakeCalls();
  ASSERT_TRUE(controller_->Promote(acme_, kShoes).ok());
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-1"));
  ASSERT_TRUE(controller_->RollBack(acme_, kShoes, "wrong labels").ok());
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_THAT(workers_.TakeCalls(), IsEmpty()) << "blue was loaded all the time";
  EXPECT_THAT(Shoes().summary.error, HasSubstr("by request: wrong labels"));
}

TEST_F(ControllerTest, WhatIsSaidToBeRollingOutMayBePromoted) {
  ASSERT_TRUE(Create({.model_version = kVersion1, .rollout = Policy(Strategy::kBlueGreen)}).ok());
  Settle();
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  for (int i = 0; i < 100 && Shoes().summary.state != State::kRollingOut; ++i) {
    EXPECT_FALSE(controller_->Promote(acme_, kShoes).ok());
    controller_->Resolve();
    controller_->Step();
    workers_.FinishLoads({});
    clock_.Advance(absl::Milliseconds(100));
  }
  EXPECT_TRUE(controller_->Promote(acme_, kShoes).ok());
}

TEST_F(ControllerTest, ARollbackToWhatIsNotLoadedAnyMoreLeavesNoGap) {
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  EXPECT_TRUE(absl::IsFailedPrecondition(controller_->RollBack(acme_, kShoes, "").status()));
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = kVersion2}).ok());
  Settle();
  workers_.TakeCalls();
  ASSERT_TRUE(controller_->RollBack(acme_, kShoes, "").ok());
  controller_->Resolve();
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 2 on default-0"));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  EXPECT_THAT(workers_.TakeCalls(), ElementsAre("load 1 on default-0", "unload 2 from default-0"));
}

TEST_F(ControllerTest, WeightsChangeWhileItServes) {
  RolloutPolicy policy = Policy(Strategy::kWeighted);
  policy.percent = 10;
  BeginRollout(policy);
  EXPECT_THAT(Routes(), ElementsAre("shoes: 90% 1 on default-0 10% 2 on default-1"));
  policy.percent = 60;
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = "", .rollout = policy}).ok());
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 40% 1 on default-0 60% 2 on default-1"));
  policy.percent = 101;
  EXPECT_EQ(
      FieldOf(
          controller_->Update(acme_, kShoes, {.model_version = "", .rollout = policy}).status()),
      "deployment.rollout.percent");
}

TEST_F(ControllerTest, ARestartGoesOnWithTheTrial) {
  BeginRollout(Policy(Strategy::kCanary));
  Report(2, 99, 0);
  Restart();
  Settle();
  controller_->Step();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 95% 1 on default-0 5% 2 on default-1"));
  EXPECT_EQ(Phase(), Trial::Phase::kRunning);
  clock_.Advance(absl::Seconds(60));
  Settle();
  EXPECT_EQ(Shoes().deployment.trial->step, 0) << "its calls are counted anew";
}

TEST_F(ControllerTest, AFullDiskHoldsARolloutWhereItIs) {
  BeginRollout(Policy(Strategy::kCanary));
  Report(1, 2000, 0);
  Report(2, 100, 0);
  store_.SetFault(StorageFull("/data"));
  clock_.Advance(absl::Seconds(60));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 95% 1 on default-0 5% 2 on default-1"));
  store_.SetFault(absl::OkStatus());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 50% 1 on default-0 50% 2 on default-1"));
}

TEST_F(ControllerTest, HowCallsAreServedIsKeptAndToldToTheGateways) {
  v1::RoutingPolicy routing;
  routing.set_sticky_header("x-session");
  ASSERT_TRUE(Create({.model_version = kVersion1, .routing = routing}).ok());
  Settle();
  const auto told = [&] {
    return board_->WaitForNewer(-1, absl::ZeroDuration())->routes(0).routing();
  };
  EXPECT_EQ(told().sticky_header(), "x-session");
  // What an update does not name stays; what it names is replaced as a whole.
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = "", .replicas = 2}).ok());
  EXPECT_EQ(Shoes().deployment.routing.sticky_header(), "x-session");
  routing.clear_sticky_header();
  routing.mutable_timeout()->set_seconds(3);
  ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = "", .routing = routing}).ok());
  Settle();
  EXPECT_EQ(told().SerializeAsString(), routing.SerializeAsString());
  Restart();
  EXPECT_EQ(Shoes().deployment.routing.SerializeAsString(), routing.SerializeAsString());
}

TEST_F(ControllerTest, NoRingOfFallbacksIsEverMade) {
  const auto falls_back_on = [](const std::string& id) {
    v1::RoutingPolicy routing;
    routing.set_fallback("tenants/acme/deployments/" + id);
    return DeploymentRequest{.model_version = kVersion1, .routing = routing};
  };
  const DeploymentName boots{"acme", "boots"};
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  ASSERT_TRUE(controller_->Create(acme_, "tenants/acme", "boots", falls_back_on("shoes"), "").ok());
  EXPECT_EQ(FieldOf(controller_->Update(acme_, kShoes, falls_back_on("boots")).status()),
            "deployment.routing.fallback");
  // Nor by a deployment that is made anew under a name that another one falls back on.
  ASSERT_TRUE(controller_->Delete(acme_, kShoes).ok());
  Settle();
  ASSERT_TRUE(absl::IsNotFound(controller_->Get(acme_, kShoes).status()));
  EXPECT_EQ(FieldOf(Create(falls_back_on("boots")).status()), "deployment.routing.fallback");
  // One that is being deleted is none any more.
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  ASSERT_TRUE(controller_->Delete(acme_, boots).ok());
  EXPECT_EQ(FieldOf(controller_->Update(acme_, kShoes, falls_back_on("boots")).status()),
            "deployment.routing.fallback");
}

TEST_F(ControllerTest, WhatBecameOfCopiesIsSummedUntilTheShadowChanges) {
  v1::RoutingPolicy routing;
  routing.mutable_shadow()->set_deployment(kShoes.ToString());
  routing.mutable_shadow()->set_version("2");
  routing.mutable_shadow()->set_percent(10);
  ASSERT_TRUE(Create({.model_version = kVersion1, .routing = routing}).ok());
  ShadowReport report{kShoes, {.agreed = 3, .differed = 1}};
  report.traffic.latency.buckets[10] = 4;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(controller_->ReportTraffic(gateway_, {}, {report}).ok());
  }
  EXPECT_EQ(Shoes().shadow.agreed, 6);
  EXPECT_EQ(Shoes().shadow.differed, 2);
  EXPECT_EQ(Shoes().shadow.latency.count(), 8);
  const auto update = [&] {
    ASSERT_TRUE(controller_->Update(acme_, kShoes, {.model_version = "", .routing = routing}).ok());
  };
  routing.set_sticky_header("x-session");
  update();
  EXPECT_EQ(Shoes().shadow.agreed, 6);
  routing.mutable_shadow()->set_percent(20);
  update();
  EXPECT_EQ(Shoes().shadow.agreed, 0);
  // Of one that has none, and of one that is not there, nothing is kept.
  routing.clear_shadow();
  update();
  report.deployment = kShoes;
  ASSERT_TRUE(controller_->ReportTraffic(gateway_, {}, {report, {{"acme", "gone"}, {}}}).ok());
  EXPECT_EQ(Shoes().shadow.agreed, 0);
}

TEST_F(ControllerTest, AWorkerWhoseMemoryStaysInFragmentsIsReplaced) {
  fragmented_above_ = 1.5;
  Restart();
  ASSERT_TRUE(Create({.model_version = kVersion1}).ok());
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  workers_.SetMemoryRatio("default-0", 1.6);
  Settle();
  clock_.Advance(absl::Seconds(50));
  // A moment's relief, and it counts anew.
  workers_.SetMemoryRatio("default-0", 1.5);
  Settle();
  workers_.SetMemoryRatio("default-0", 1.6);
  Settle();
  clock_.Advance(absl::Seconds(50));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-0"));
  clock_.Advance(absl::Seconds(10));
  Settle();
  EXPECT_THAT(Routes(), ElementsAre("shoes: 1 on default-1"));
  EXPECT_FALSE(pool_->Workers()[0].running);
  EXPECT_TRUE(pool_->Workers()[3].running) << "in its place";
}

TEST_F(ControllerTest, OnlyTheGatewayItselfReportsTraffic) {
  EXPECT_TRUE(absl::IsFailedPrecondition(controller_->ReportTraffic(acme_, {})));
}

TEST_F(ControllerTest, AnotherTenantMovesNoRollout) {
  BeginRollout(Policy(Strategy::kBlueGreen));
  EXPECT_TRUE(absl::IsNotFound(controller_->Promote(other_, kShoes).status()));
  EXPECT_TRUE(absl::IsNotFound(controller_->RollBack(other_, kShoes, "").status()));
  EXPECT_EQ(Phase(), Trial::Phase::kRunning);
}

}  // namespace
}  // namespace slipway::controller
