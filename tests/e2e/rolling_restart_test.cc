// Gateways and workers are replaced one after the other, again and again, under callers that do
// what a load balancer does: none of their calls fails. Two rounds as a test; SLIPWAY_RESTARTS=20
// makes as many, and each at least 10,000 calls long.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/open_inference.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/postgres.h"
#include "tests/support/serving/test_artifact.h"
#include "tests/support/serving/worker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::e2e {
namespace {

using gateway::GatewayProcess;

constexpr size_t kGateways = 2;
constexpr size_t kWorkers = 2;
constexpr int kHttpCallers = 3;
constexpr int kGrpcCallers = 1;
// A gateway that is to end goes on for so long; a balancer looks at all of them this often.
constexpr char kDrainDelay[] = "drain_delay=500ms";
constexpr absl::Duration kLook = absl::Milliseconds(20);

// The gateways, and which of them are in rotation; for callers on any thread.
class Balancer {
 public:
  struct Backend {
    int64_t id = -1;  // never used twice, as ports are
    std::string address;
  };

  Balancer() {
    looker_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        Look();
        Clock::Real().SleepFor(kLook);
      }
    });
  }

  /// In rotation when it returns.
  void Set(size_t place, std::shared_ptr<GatewayProcess> gateway) {
    {
      MutexLock lock(mutex_);
      places_[place] = {++last_id_, std::move(gateway), /*ready=*/false};
    }
    EXPECT_TRUE(Eventually([&] {
      MutexLock lock(mutex_);
      return places_[place].ready;
    }));
  }
  std::shared_ptr<GatewayProcess> gateway(size_t place) {
    MutexLock lock(mutex_);
    return places_[place].gateway;
  }

  /// One that is ready; they take turns.
  Backend Pick(size_t turn) {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < kGateways; ++i) {
      const Place& place = places_[(turn + i) % kGateways];
      if (place.ready) return {place.id, place.gateway->address()};
    }
    return {};
  }

 private:
  struct Place {
    int64_t id = -1;
    std::shared_ptr<GatewayProcess> gateway;
    bool ready = false;
  };
  void Look() {
    for (size_t i = 0; i < kGateways; ++i) {
      const std::shared_ptr<GatewayProcess> seen = gateway(i);
      const bool ready = seen != nullptr && seen->Ready();
      MutexLock lock(mutex_);
      if (places_[i].gateway == seen) places_[i].ready = ready;
    }
  }

  Mutex mutex_;
  Place places_[kGateways] GUARDED_BY(mutex_);
  int64_t last_id_ GUARDED_BY(mutex_) = 0;
  std::jthread looker_;
};

class RollingRestartTest : public testing::Test {
 protected:
  RollingRestartTest() : platform_(trust_, folder_ / "platform.sock") {
    for (size_t i = 0; i < kWorkers; ++i) workers_.push_back(NewWorker());
    Route();
    for (size_t i = 0; i < kGateways; ++i) balancer_.Set(i, NewGateway());
    const std::string address = balancer_.Pick(0).address;
    Post(address, "/api/v1/tenants?tenantId=acme", operator_key_, "{}");
    key_ = nlohmann::json::parse(Post(address, "/api/v1/tenants/acme/keys", operator_key_,
                                      R"({"role":"ROLE_CALLER"})"))["secret"];
    for (size_t i = 0; i < kGateways; ++i) {
      EXPECT_TRUE(Eventually([&] { return Knows(balancer_.Pick(i).address, key_); }));
    }
  }

  std::unique_ptr<WorkerProcess> NewWorker() {
    auto worker = std::make_unique<WorkerProcess>(launcher_, trust_, WorkerProcess::Options{});
    worker->Load("mlp", SmallMlp(1));
    return worker;
  }

  // All of them on one database.
  std::shared_ptr<GatewayProcess> NewGateway() {
    auto gateway = std::make_shared<GatewayProcess>(
        launcher_, trust_,
        GatewayProcess::Options{.registry = platform_.address(),
                                .training = platform_.address(),
                                .controller = platform_.address(),
                                .settings = {"database=" + database_,
                                             "pepper_file=" + (folder_ / "pepper"), kDrainDelay},
                                .wrapper = {}});
    if (operator_key_.empty()) operator_key_ = gateway->operator_key();
    return gateway;
  }

  // Tells the gateways of the workers that there are, and waits until they know.
  void Route() {
    controller::v1::RouteTable table;
    table.set_generation(++generation_);
    auto& route = *table.add_routes();
    route.set_deployment("tenants/acme/deployments/mlp");
    auto& target = *route.add_targets();
    target.set_model_version("tenants/acme/models/mlp/versions/1");
    target.set_weight(1);
    for (const auto& worker : workers_) {
      if (worker != nullptr) target.add_workers(worker->address());
    }
    platform_.SetRoutes(table);
    const std::string known = fmt::format("\nslipway_gateway_routes_generation {}\n", generation_);
    for (size_t i = 0; i < kGateways; ++i) {
      const auto gateway = balancer_.gateway(i);
      EXPECT_TRUE(gateway == nullptr ||
                  Eventually([&] { return gateway->Metrics().find(known) != std::string::npos; }));
    }
  }

  static std::string Render(const std::string& path, const std::string& key,
                            const std::string& body) {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
        path, key, body.size(), body);
  }
  static std::string Post(const std::string& address, const std::string& path,
                          const std::string& key, const std::string& body) {
    http::RawPeer peer(address);
    const auto answer = peer.Ask(Render(path, key, body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.body;
  }

  static bool Knows(const std::string& address, const std::string& key) {
    http::RawPeer peer(address);
    return peer.Ask(Render("/v2/models/mlp/infer", key, "{}")).status != 401;
  }

  void Count(bool answered, const std::string& failure) {
    ++calls_;
    if (answered) return;
    MutexLock lock(mutex_);
    if (failures_++ < 5) ADD_FAILURE() << failure;
  }

  // Keeps a connection to each gateway in rotation until it is asked to close it.
  void CallHttp(const std::stop_token& stop) {
    const std::string request =
        Render("/v2/models/mlp/infer", key_,
               R"({"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]})");
    std::map<int64_t, std::unique_ptr<http::RawPeer>> peers;
    for (size_t turn = 0; !stop.stop_requested(); ++turn) {
      const Balancer::Backend backend = balancer_.Pick(turn);
      auto& peer = peers[backend.id];
      if (peer == nullptr) peer = std::make_unique<http::RawPeer>(backend.address);
      const auto answer = peer->Ask(request);
      Count(answer.status == 200 && answer.complete,
            fmt::format("HTTP: {} {}", answer.status, answer.body));
      if (answer.status == 0 || answer.headers.Get("connection") == "close") {
        peers.erase(backend.id);
      }
      if (peers.size() > kGateways) peers.erase(peers.begin());
    }
  }

  // Through grpc++, which goes by GOAWAY.
  void CallGrpc(const std::stop_token& stop) {
    inference::ModelInferRequest request;
    request.set_model_name("mlp");
    auto& input = *request.add_inputs();
    input.set_name("x");
    input.set_datatype("FP32");
    input.add_shape(1);
    input.add_shape(4);
    const float values[] = {1, 2, 3, 4};
    request.add_raw_input_contents(reinterpret_cast<const char*>(values), sizeof(values));
    std::map<int64_t, std::unique_ptr<inference::GRPCInferenceService::Stub>> stubs;
    for (size_t turn = 0; !stop.stop_requested(); ++turn) {
      const Balancer::Backend backend = balancer_.Pick(turn);
      auto& stub = stubs[backend.id];
      if (stub == nullptr) {
        stub = inference::GRPCInferenceService::NewStub(
            grpc::CreateChannel(backend.address, grpc::InsecureChannelCredentials()));
      }
      grpc::ClientContext context;
      context.AddMetadata("authorization", "Bearer " + key_);
      inference::ModelInferResponse response;
      const grpc::Status status = stub->ModelInfer(&context, request, &response);
      Count(status.ok(), "gRPC: " + status.error_message());
      if (stubs.size() > kGateways) stubs.erase(stubs.begin());
    }
  }

  void ReplaceGateway(size_t place) {
    Process& process = balancer_.gateway(place)->process();
    ASSERT_TRUE(process.Signal(SIGTERM).ok());
    const auto exit = process.Wait(absl::Minutes(2));
    ASSERT_TRUE(exit.ok()) << exit.status();
    EXPECT_TRUE(exit->ok()) << exit->ToString();
    balancer_.Set(place, NewGateway());
  }

  // It is told to end while gateways send it calls: nobody tells them before. But they know of
  // another, or a call that it refuses would have nowhere to go: that is what a worker's
  // drain_delay is for.
  void ReplaceWorker(size_t place) {
    workers_[place].reset();
    Route();
    workers_[place] = NewWorker();
    Route();
  }

  const TempDir folder_;
  TestPostgres postgres_;
  const std::string database_ = postgres_.NewDatabase();
  const TestTrust trust_;
  LocalProcessLauncher launcher_;
  gateway::FakePlatform platform_;
  std::vector<std::unique_ptr<WorkerProcess>> workers_;
  Balancer balancer_;
  std::string operator_key_;
  std::string key_;
  int64_t generation_ = 0;
  std::atomic<int64_t> calls_ = 0;
  Mutex mutex_;
  int64_t failures_ GUARDED_BY(mutex_) = 0;
};

TEST_F(RollingRestartTest, NoCallFails) {
  const char* const asked = std::getenv("SLIPWAY_RESTARTS");
  const int rounds = asked == nullptr ? 2 : std::atoi(asked);
  const int64_t calls_a_round = asked == nullptr ? 500 : 10'000;
  std::vector<std::jthread> callers;
  for (int i = 0; i < kHttpCallers; ++i) {
    callers.emplace_back([this](const std::stop_token& stop) { CallHttp(stop); });
  }
  for (int i = 0; i < kGrpcCallers; ++i) {
    callers.emplace_back([this](const std::stop_token& stop) { CallGrpc(stop); });
  }
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    const int64_t enough = calls_ + calls_a_round;
    for (size_t i = 0; i < kGateways; ++i) ReplaceGateway(i);
    for (size_t i = 0; i < kWorkers; ++i) ReplaceWorker(i);
    EXPECT_TRUE(Eventually([&] { return calls_ >= enough; }));
  }
  for (std::jthread& caller : callers) caller.request_stop();
  callers.clear();
  MutexLock lock(mutex_);
  EXPECT_EQ(failures_, 0);
  fmt::print("{} rolling restarts, {} calls, {} failed\n", rounds, calls_.load(), failures_);
}

}  // namespace
}  // namespace slipway::e2e
