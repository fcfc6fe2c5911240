// The controller behind its real edge, with its real threads, clients and database; the registry
// and the workers are the test's own gRPC servers.

#include "services/controller/controller_service.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/controller/control_loop.h"
#include "services/controller/controller.h"
#include "services/controller/fixed_worker_pool.h"
#include "services/controller/grpc_registry_client.h"
#include "services/controller/grpc_worker_client.h"
#include "services/controller/route_board.h"
#include "services/controller/sql_deployment_store.h"
#include "tests/integration/services/controller/controller_client.h"
#include "tests/integration/services/controller/fake_worker.h"
#include "tests/support/eventually.h"
#include "tests/support/internal_matrix.h"
#include "tests/support/serving/fake_registry.h"

namespace slipway::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// All of a controller's process but main().
struct RunningController {
  RunningController(const TestTrust& trust, const std::string& database,
                    const FakeRegistryServer& registry_server,
                    const std::vector<std::string>& worker_addresses,
                    const std::string& socket_path)
      : tokens(ServiceId::kController, trust.key(ServiceId::kController), Clock::Real()),
        verifier(trust.Verifier(ServiceId::kController)),
        store(*SqlDeploymentStore::Open(database)),
        registry(*GrpcRegistryClient::Create({.address = registry_server.address(), .tls = {}},
                                             tokens, Clock::Real())),
        workers(tokens, {}, Clock::Real()),
        pool("default", worker_addresses, /*shares_uploaded=*/false),
        controller(*store, *registry, workers, {&pool}, board, Clock::Real(), metrics, Options(),
                   [this] { loop.Wake(); }) {
    EXPECT_TRUE(controller.Load().ok());
    service = *ControllerService::Create(controller, board, *verifier, metrics, Clock::Real());
    GrpcServerOptions options;
    options.address = "unix:" + socket_path;
    server = *GrpcServer::Start(options, {service->service()});
    loop.Start(controller);
  }
  ~RunningController() {
    loop.Stop();
    board.Close();
    server->Drain(absl::Seconds(5));
  }
  static ControllerOptions Options() {
    ControllerOptions options;
    options.patience.drain = absl::Milliseconds(50);
    options.patience.silence = absl::Milliseconds(300);
    return options;
  }
  static LoopPeriods Periods() {
    return {.resolve = absl::Milliseconds(20),
            .busy = absl::Milliseconds(5),
            .idle = absl::Milliseconds(20)};
  }

  TokenIssuer tokens;
  std::unique_ptr<TokenVerifier> verifier;
  Metrics metrics{"controller"};
  std::unique_ptr<SqlDeploymentStore> store;
  std::unique_ptr<GrpcRegistryClient> registry;
  GrpcWorkerClient workers;
  FixedWorkerPool pool;
  RouteBoard board{0};
  ControlLoop loop{Periods()};
  Controller controller;
  std::unique_ptr<ControllerService> service;
  std::unique_ptr<GrpcServer> server;
};

class ControllerServiceTest : public testing::Test {
 protected:
  ControllerServiceTest() {
    registry_.AddVersion(kVersion1, SmallMlp(1));
    registry_.AddVersion(kVersion2, SmallMlp(2));
    Start();
    client_ = std::make_unique<ControllerClient>(running_->server->address(), trust_);
  }
  void Start() {
    running_ = std::make_unique<RunningController>(
        trust_, "sqlite:" + (dir_ / "controller.db"), registry_,
        std::vector<std::string>{worker_.address()}, dir_ / "controller.sock");
  }
  void Deploy(const std::string& version) {
    const auto created = client_->Create("shoes", version);
    ASSERT_TRUE(created.ok()) << created.status();
    client_->AwaitState(kShoes, v1::Deployment::READY);
  }

  TempDir dir_;
  TestTrust trust_;
  FakeRegistryServer registry_{trust_};
  FakeWorkerServer worker_{trust_};
  std::unique_ptr<RunningController> running_;
  std::unique_ptr<ControllerClient> client_;
};

TEST_F(ControllerServiceTest, ServesADeploymentFromCreationToDeletion) {
  const auto created = client_->Create("shoes", kVersion1);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->name(), kShoes);
  EXPECT_EQ(created->generation(), 1);
  EXPECT_GT(created->create_time().seconds(), 1'600'000'000);

  const v1::Deployment ready = client_->AwaitState(kShoes, v1::Deployment::READY);
  EXPECT_EQ(ready.serving_version(), kVersion1);
  EXPECT_EQ(ready.ready_replicas(), 1);
  const auto routes = client_->AwaitRoutes(
      [](const v1::RouteTable& table) { return RoutedVersion(table) == kVersion1; });
  ASSERT_TRUE(routes.has_value());
  EXPECT_EQ(routes->routes(0).deployment(), kShoes);
  const v1::Route::Target& target = routes->routes(0).targets(0);
  EXPECT_THAT(target.workers(), ElementsAre(worker_.address()));
  EXPECT_EQ(target.weight(), 100);
  EXPECT_EQ(target.signature().inputs(0).name(), "x");
  EXPECT_EQ(client_->List()->deployments_size(), 1);

  ASSERT_TRUE(client_->Update(kShoes, kVersion2).ok());
  client_->Await(kShoes, [](const v1::Deployment& d) { return d.serving_version() == kVersion2; });
  ASSERT_TRUE(client_->Delete(kShoes).ok());
  client_->AwaitGone(kShoes);
  EXPECT_THAT(worker_.Calls(),
              ElementsAre(std::string("load ") + kVersion1, std::string("load ") + kVersion2,
                          std::string("unload ") + kVersion1, std::string("unload ") + kVersion2));
}

TEST_F(ControllerServiceTest, GivesAWorkerATokenForOneVersionOnly) {
  Deploy(kVersion1);
  const std::vector<Principal> principals = worker_.LoadPrincipals();
  ASSERT_EQ(principals.size(), 1u);
  EXPECT_EQ(principals[0].caller, ServiceId::kWorker);
  EXPECT_EQ(principals[0].tenant, "acme");
  EXPECT_EQ(principals[0].role, Role::kNone);
  EXPECT_THAT(principals[0].scopes, ElementsAre(kVersion1));
}

TEST_F(ControllerServiceTest, APipelinesTokenIsForItsStepsToo) {
  constexpr char kPipeline[] = "tenants/acme/models/both/versions/1";
  registry_.AddPipeline(kPipeline, {kVersion2, kVersion1, kVersion2});
  Deploy(kPipeline);
  const std::vector<Principal> principals = worker_.LoadPrincipals();
  ASSERT_EQ(principals.size(), 1u);
  EXPECT_THAT(principals[0].scopes, ElementsAre(kPipeline, kVersion1, kVersion2));
}

TEST_F(ControllerServiceTest, AWatcherIsToldEachChange) {
  std::vector<std::string> seen;
  {
    const std::jthread watcher([&] {
      client_->AwaitRoutes([&](const v1::RouteTable& table) {
        const std::string routed = RoutedVersion(table);
        if (seen.empty() || seen.back() != routed) seen.push_back(routed);
        return routed == kVersion2;
      });
    });
    Deploy(kVersion1);
    ASSERT_TRUE(client_->Update(kShoes, kVersion2).ok());
  }
  // Never a gap between the two.
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back(), kVersion2);
  const auto first = std::find(seen.begin(), seen.end(), kVersion1);
  EXPECT_EQ(std::count(first, seen.end(), ""), 0) << testing::PrintToString(seen);
}

TEST_F(ControllerServiceTest, AVersionThatFailsKeepsTheOldOneAndSaysWhy) {
  Deploy(kVersion1);
  worker_.FailLoadsOf(kVersion2);
  ASSERT_TRUE(client_->Update(kShoes, kVersion2).ok());
  const v1::Deployment failed = client_->AwaitState(kShoes, v1::Deployment::FAILED);
  EXPECT_EQ(failed.serving_version(), kVersion1);
  EXPECT_THAT(failed.error(), HasSubstr("model.safetensors: truncated"));
  const auto routes = client_->AwaitRoutes([](const v1::RouteTable&) { return true; });
  EXPECT_EQ(RoutedVersion(*routes), kVersion1);
}

TEST_F(ControllerServiceTest, ADeploymentFollowsItsAlias) {
  constexpr char kAlias[] = "tenants/acme/models/mlp/aliases/prod";
  registry_.SetAlias(kAlias, kVersion1);
  Deploy(kAlias);
  registry_.SetAlias(kAlias, kVersion2);
  client_->Await(kShoes, [](const v1::Deployment& d) { return d.serving_version() == kVersion2; });
  EXPECT_EQ(client_->Get(kShoes)->model_version(), kAlias);
}

TEST_F(ControllerServiceTest, AWorkerThatIsGoneLeavesTheRoutesAndIsLoadedAgainWhenItIsBack) {
  Deploy(kVersion1);
  worker_.Stop();
  EXPECT_TRUE(client_
                  ->AwaitRoutes([](const v1::RouteTable& table) {
                    return table.routes_size() == 1 && table.routes(0).targets().empty();
                  })
                  .has_value());
  EXPECT_NE(client_->Get(kShoes)->state(), v1::Deployment::READY);
  worker_.Start();
  client_->AwaitState(kShoes, v1::Deployment::READY);
}

TEST_F(ControllerServiceTest, ARestartBringsEverythingBack) {
  Deploy(kVersion1);
  const auto before = client_->Get(kShoes);
  running_.reset();
  Start();
  const v1::Deployment after = client_->AwaitState(kShoes, v1::Deployment::READY);
  EXPECT_EQ(after.serving_version(), kVersion1);
  EXPECT_EQ(after.create_time().nanos(), before->create_time().nanos());
}

TEST_F(ControllerServiceTest, WhatIsUnloadedStaysSoThroughARestartUntilItIsLoaded) {
  Deploy(kVersion1);
  const auto unloaded = client_->Unload(kShoes);
  ASSERT_TRUE(unloaded.ok()) << unloaded.status();
  EXPECT_EQ(unloaded->state(), v1::Deployment::UNLOADED);
  const auto table = client_->AwaitRoutes([](const v1::RouteTable&) { return true; });
  EXPECT_EQ(RoutedVersion(*table), "") << "no call goes there once it is answered";
  running_.reset();
  Start();
  EXPECT_EQ(client_->Get(kShoes)->state(), v1::Deployment::UNLOADED);
  EXPECT_TRUE(client_->Unload(kShoes).ok()) << "again";
  const auto loaded = client_->Load(kShoes);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->state(), v1::Deployment::READY);
  EXPECT_EQ(loaded->serving_version(), kVersion1);
  EXPECT_TRUE(client_->Load(kShoes).ok()) << "again";
  EXPECT_TRUE(absl::IsNotFound(client_->Load("tenants/acme/deployments/none").status()));
}

TEST_F(ControllerServiceTest, ALoadThatFailsSaysWhy) {
  Deploy(kVersion1);
  ASSERT_TRUE(client_->Unload(kShoes).ok());
  // It is drained first: asked for at once, it would still be there.
  ASSERT_TRUE(Eventually([&] { return worker_.Calls().size() == 2; }));
  worker_.FailLoadsOf(kVersion1);
  const auto loaded = client_->Load(kShoes);
  EXPECT_TRUE(absl::IsFailedPrecondition(loaded.status())) << loaded.status();
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("model.safetensors: truncated"));
}

TEST_F(ControllerServiceTest, ErrorsNameTheFieldAcrossTheWire) {
  const auto unknown = client_->Create("shoes", "tenants/acme/models/mlp/versions/9");
  EXPECT_TRUE(absl::IsInvalidArgument(unknown.status()));
  EXPECT_EQ(FieldOf(unknown.status()), "deployment.model_version");
  const auto foreign = client_->Create("shoes", "tenants/other/models/mlp/versions/1");
  EXPECT_EQ(FieldOf(foreign.status()), "deployment.model_version");
  EXPECT_EQ(FieldOf(client_->Create("Shoes", kVersion1).status()), "deployment_id");
  EXPECT_TRUE(absl::IsNotFound(client_->Get(kShoes).status()));
  EXPECT_EQ(FieldOf(client_->Get("shoes").status()), "name");
}

TEST_F(ControllerServiceTest, TheSameRequestIdMakesOneDeployment) {
  const auto first = client_->Create("shoes", kVersion1, "r1");
  const auto again = client_->Create("shoes", kVersion1, "r1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->create_time().nanos(), first->create_time().nanos());
  EXPECT_EQ(client_->List()->deployments_size(), 1);
}

TEST_F(ControllerServiceTest, AWatchEndsWhenTheControllerStops) {
  std::optional<v1::RouteTable> none = v1::RouteTable();
  {
    const std::jthread watcher(
        [&] { none = client_->AwaitRoutes([](const v1::RouteTable&) { return false; }); });
    Deploy(kVersion1);
    running_.reset();
  }
  EXPECT_FALSE(none.has_value());
}

TEST_F(ControllerServiceTest, EveryMethodTakesItsCallersOnly) {
  ExpectInternalMatrix({.name = "slipway.controller.v1.ControllerService",
                        .address = running_->server->address(),
                        .self = ServiceId::kController},
                       trust_);
}

}  // namespace
}  // namespace slipway::controller
