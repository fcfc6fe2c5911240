// The real programs: a controller that starts its worker, loads a real model into it, and what
// becomes of both when they are killed.

#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/process/local_process_launcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/integration/services/controller/controller_client.h"
#include "tests/support/places.h"
#include "tests/support/serving/fake_registry.h"

namespace slipway::controller {
namespace {

namespace fs = std::filesystem;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

class ControllerProcessTest : public testing::Test {
 protected:
  ControllerProcessTest() {
    for (const char* folder : {"run", "logs", "worker"}) fs::create_directories(dir_ / folder);
    fs::permissions(dir_ / "run", fs::perms::owner_all);
    EXPECT_TRUE(trust_.key(ServiceId::kController).Save(dir_ / "identity.pem").ok());
    registry_.AddVersion(kVersion1, first_);
    registry_.AddVersion(kVersion2, second_);
    Start();
  }
  ~ControllerProcessTest() override {
    if (controller_ != nullptr) controller_->Kill();
    if (!HasFailure()) return;
    for (const auto& log : fs::directory_iterator(dir_ / "logs")) {
      std::ifstream file(log.path());
      std::cerr << "---- " << log.path().filename() << "\n" << file.rdbuf();
    }
  }

  void Start(const std::vector<std::string>& more = {"drain=100ms"}) {
    ProcessSpec spec;
    spec.program = Program("slipway-controller");
    std::vector<std::string> settings = {
        "listen=unix:" + (dir_ / "run/controller.sock"),
        "admin_listen=unix:" + (dir_ / "run/controller-admin.sock"),
        "registry=" + registry_.address(),
        "identity_key=" + (dir_ / "identity.pem"),
        "trust_dir=" + trust_.folder(),
        "database=sqlite:" + (dir_ / "controller.db"),
        "data_dir=" + (dir_ / "worker"),
        "run_dir=" + (dir_ / "run"),
        "log.file=" + (dir_ / "logs/controller.jsonl")};
    settings.insert(settings.end(), more.begin(), more.end());
    for (const std::string& setting : settings) {
      spec.args.push_back("--set");
      spec.args.push_back(setting);
    }
    auto process = launcher_.Launch(spec);
    ASSERT_TRUE(process.ok()) << process.status();
    controller_ = *std::move(process);
  }

  // The worker's process id, by the controller's log: the newest that it started.
  pid_t WorkerPid() {
    std::ifstream log(dir_ / "logs/controller.jsonl");
    pid_t pid = 0;
    for (std::string line; std::getline(log, line);) {
      const size_t at = line.find("\"pid\":");
      if (line.find("\"worker_started\"") != line.npos && at != line.npos) {
        pid = std::stoi(line.substr(at + 6));
      }
    }
    return pid;
  }
  static void AwaitDeath(pid_t pid) {
    while (::kill(pid, 0) == 0) std::this_thread::yield();
  }

  // What the routed worker answers for one row.
  absl::StatusOr<std::vector<float>> Infer(const v1::RouteTable& routes) {
    const auto channel =
        *OpenChannel({.address = routes.routes(0).targets(0).workers(0), .tls = {}});
    const auto stub = inference::GRPCInferenceService::NewStub(channel);
    Principal who;
    who.tenant = "acme";
    who.role = Role::kCaller;
    who.caller = ServiceId::kGateway;
    const std::string token = trust_.Token(who, ServiceId::kWorker);
    grpc::ClientContext context;
    PrepareContext(context, {.token = token,
                             .deadline = Clock::Real().Now() + absl::Seconds(30),
                             .wait_for_ready = true});
    inference::ModelInferRequest request;
    request.set_model_name(kShoes);
    request.set_model_version(routes.routes(0).targets(0).model_version());
    auto& input = *request.add_inputs();
    input.set_name("x");
    input.set_datatype("FP32");
    input.add_shape(1);
    input.add_shape(4);
    request.add_raw_input_contents(row_.data(), row_.size() * sizeof(float));
    inference::ModelInferResponse response;
    RETURN_IF_ERROR(FromGrpcStatus(stub->ModelInfer(&context, request, &response)));
    std::vector<float> values(response.raw_output_contents(0).size() / sizeof(float));
    std::memcpy(values.data(), response.raw_output_contents(0).data(),
                response.raw_output_contents(0).size());
    return values;
  }
  void ExpectServes(const std::string& version, const TestArtifact& artifact) {
    const auto routes = client_.AwaitRoutes(
        [&](const v1::RouteTable& table) { return RoutedVersion(table) == version; });
    ASSERT_TRUE(routes.has_value());
    const auto answer = Infer(*routes);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_THAT(*answer, Pointwise(FloatNear(1e-5F), SmallMlpAnswer(artifact, row_)));
  }

  const TestArtifact first_ = SmallMlp(1);
  const TestArtifact second_ = SmallMlp(2);
  const std::vector<float> row_ = {0.5F, -1, 2, 0.25F};
  TempDir dir_;
  TestTrust trust_;
  FakeRegistryServer registry_{trust_};
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> controller_;
  ControllerClient client_{"unix:" + (dir_ / "run/controller.sock"), trust_};
};

TEST_F(ControllerProcessTest, ServesUpdatesSurvivesAndStops) {
  const auto created = client_.Create("shoes", kVersion1);
  ASSERT_TRUE(created.ok()) << created.status();
  client_.AwaitState(kShoes, v1::Deployment::READY);
  ExpectServes(kVersion1, first_);

  // A version whose weights do not arrive as they were registered.
  auto broken = registry_.AddVersion(kVersion2, second_);
  registry_.SpoilBlob(broken.artifact().files(1).digest(), second_.weights.substr(1));
  ASSERT_TRUE(client_.Update(kShoes, kVersion2).ok());
  const v1::Deployment failed = client_.AwaitState(kShoes, v1::Deployment::FAILED);
  EXPECT_EQ(failed.serving_version(), kVersion1);
  EXPECT_THAT(failed.error(), HasSubstr("model.safetensors"));
  ExpectServes(kVersion1, first_);

  // The worker dies: another one takes over, with what served.
  const pid_t first_worker = WorkerPid();
  ASSERT_GT(first_worker, 0);
  ::kill(first_worker, SIGKILL);
  client_.Await(kShoes, [&](const v1::Deployment& d) {
    return WorkerPid() != first_worker && d.serving_version() == kVersion1;
  });
  ExpectServes(kVersion1, first_);

  // The controller dies, and takes its worker along; its next process brings both back.
  const pid_t second_worker = WorkerPid();
  registry_.SpoilBlob(broken.artifact().files(1).digest(), second_.weights);
  controller_->Kill();
  ASSERT_TRUE(controller_->Wait(absl::Seconds(30)).ok());
  AwaitDeath(second_worker);
  Start();
  client_.Await(kShoes, [](const v1::Deployment& d) { return d.serving_version() == kVersion2; });
  ExpectServes(kVersion2, second_);
  EXPECT_EQ(client_.Get(kShoes)->generation(), 2);

  // SIGTERM ends both.
  const pid_t third_worker = WorkerPid();
  ASSERT_TRUE(controller_->Signal(SIGTERM).ok());
  const auto exit = controller_->Wait(absl::Seconds(30));
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_TRUE(exit->ok()) << exit->ToString();
  EXPECT_NE(::kill(third_worker, 0), 0);
  std::ifstream log(dir_ / "logs/worker-default-0.jsonl");
  const std::string lines{std::istreambuf_iterator<char>(log), {}};
  EXPECT_THAT(lines, HasSubstr("\"service_stopped\""));
}

TEST_F(ControllerProcessTest, AWorkerWhoseMemoryIsInFragmentsIsReplacedWhileItServes) {
  ASSERT_TRUE(controller_->Signal(SIGTERM).ok());
  ASSERT_TRUE(controller_->Wait(absl::Seconds(30)).ok());
  // Which each of them is, by this.
  Start({"recycle_above=0.01", "recycle_after=0s", "drain=2s"});
  ASSERT_TRUE(client_.Create("shoes", kVersion1).ok());
  client_.AwaitState(kShoes, v1::Deployment::READY);
  const pid_t first = WorkerPid();
  pid_t second = first;
  // Until the one that took over has been replaced, too, and is gone.
  client_.Await(kShoes, [&](const v1::Deployment& d) {
    EXPECT_EQ(d.serving_version(), kVersion1);
    EXPECT_EQ(d.ready_replicas(), 1);
    if (second == first && ::kill(first, 0) != 0) second = WorkerPid();
    return second != first && ::kill(second, 0) != 0;
  });
  ExpectServes(kVersion1, first_);
}

}  // namespace
}  // namespace slipway::controller
