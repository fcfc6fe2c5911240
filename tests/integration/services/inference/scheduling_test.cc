// What happens to calls that must wait, over gRPC, with a runtime whose runs the test holds back.

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <thread>

#include "common/grpc/status.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "tests/integration/services/inference/worker_fixture.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

// A call of the test's own thread pool: starts at once, ends when awaited.
class AsyncCall {
 public:
  AsyncCall(inference::GRPCInferenceService::Stub& stub, inference::ModelInferRequest request,
            std::unique_ptr<grpc::ClientContext> context)
      : request_(std::move(request)), context_(std::move(context)) {
    stub.async()->ModelInfer(context_.get(), &request_, &response_, [this](grpc::Status status) {
      MutexLock lock(mutex_);
      status_ = FromGrpcStatus(status);
      done_.SignalAll();
    });
  }
  ~AsyncCall() { Await().IgnoreError(); }

  absl::Status Await() {
    MutexLock lock(mutex_);
    while (!status_) done_.Wait(mutex_);
    return *status_;
  }
  void Cancel() { context_->TryCancel(); }
  /// Once it was awaited.
  const inference::ModelInferResponse& response() const { return response_; }

 private:
  const inference::ModelInferRequest request_;
  const std::unique_ptr<grpc::ClientContext> context_;
  inference::ModelInferResponse response_;
  Mutex mutex_;
  CondVar done_;
  std::optional<absl::Status> status_ GUARDED_BY(mutex_);
};

class SchedulingTest : public WorkerTest {
 protected:
  // One instance, and room for two that wait.
  void SetUp() override {
    StartWorker(runtime_, /*instances=*/1, /*max_queue=*/2);
    LoadVersion(kVersion1);
    runs_before_ = runtime_.runs;
  }
  void LoadVersion(const std::string& name) {
    // The fake runtime reads the file "bias"; the registry serves it as it would any other.
    TestArtifact artifact;
    artifact.description = "{}";
    artifact.weights = "10";
    auto version = registry_.AddVersion(name, artifact);
    version.mutable_artifact()->set_format("fake");
    version.mutable_artifact()->mutable_files(1)->set_path("bias");
    ASSERT_EQ(LoadAndAwait(version).state(), v1::LoadedModel::READY);
  }
  void TearDown() override { runtime_.run_gate.Open(); }

  std::unique_ptr<AsyncCall> Start(absl::Duration timeout = absl::Seconds(30)) {
    auto context = GatewayContext();
    context->set_deadline(absl::ToChronoTime(Clock::Real().Now() + timeout));
    return std::make_unique<AsyncCall>(inference(), RequestFor({1, 2}), std::move(context));
  }
  void AwaitWaiting(size_t count) {
    const ModelHandle model = Model();
    while (batcher_->waiting(*model->queue) < count) std::this_thread::yield();
  }
  ModelHandle Model() const {
    Principal who;
    who.tenant = "acme";
    return *models_->Find(who, kShoes, "");
  }
  // That a caller has gone: the worker reads it from the connection, before what comes later on it.
  void LetTheWorkerLearn() {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(List().size(), 1u);
  }
  int Runs() const { return runtime_.runs - runs_before_; }

  FakeRuntime runtime_;
  int runs_before_ = 0;
};

TEST_F(SchedulingTest, CallsThatWaitRunTogetherAndEachGetsItsOwnAnswer) {
  const ModelHandle model = Model();
  batcher_->HoldUntil(*model->queue, 2);
  inference::ModelInferRequest two_rows = RequestFor({3, 4, 5, 6});
  two_rows.mutable_inputs(0)->set_shape(0, 2);
  two_rows.mutable_inputs(0)->set_shape(1, 2);
  const auto one = Start();
  AwaitWaiting(1);
  const auto response = Infer(two_rows);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(Floats(*response), testing::ElementsAre(17, 21));
  EXPECT_TRUE(one->Await().ok());
  EXPECT_THAT(Floats(one->response()), testing::ElementsAre(13));
  EXPECT_EQ(Runs(), 1);
  const ModelStatistics statistics = model->metrics.Statistics();
  EXPECT_EQ(statistics.inference_count, 3);
  EXPECT_EQ(statistics.execution_count, 1);
  EXPECT_EQ(statistics.batches.at(3).compute_infer.count, 1);
}

TEST_F(SchedulingTest, APriorityOrATimeoutThatIsNoNumberIsRefused) {
  for (const char* name : {"priority", "timeout"}) {
    auto request = RequestFor({1, 2});
    (*request.mutable_parameters())[name].set_string_param("high");
    const absl::Status status = Infer(request).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr(fmt::format("parameters.{}", name)));
  }
}

TEST_F(SchedulingTest, ATimeoutInTheRequestIsADeadline) {
  runtime_.run_gate.Close();
  const auto running = Start();
  runtime_.run_gate.AwaitWaiting(1);
  auto request = RequestFor({1, 2});
  (*request.mutable_parameters())["timeout"].set_int64_param(1);
  const absl::Status status = Infer(request).status();
  runtime_.run_gate.Open();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(SchedulingTest, RefusesWhatTheQueueHasNoRoomForAndAnswersTheRest) {
  runtime_.run_gate.Close();
  std::vector<std::unique_ptr<AsyncCall>> calls;
  calls.push_back(Start());
  runtime_.run_gate.AwaitWaiting(1);
  calls.push_back(Start());
  calls.push_back(Start());
  AwaitWaiting(2);
  const absl::Status refused = Start()->Await();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  runtime_.run_gate.Open();
  for (const auto& call : calls) EXPECT_TRUE(call->Await().ok());
  // Those that waited ran together.
  EXPECT_EQ(Runs(), 2);
}

TEST_F(SchedulingTest, ACallWhoseDeadlinePassesWhileItWaitsNeverRuns) {
  runtime_.run_gate.Close();
  const auto running = Start();
  runtime_.run_gate.AwaitWaiting(1);
  const auto late = Start(absl::Milliseconds(50));
  const absl::Status status = late->Await();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  // The worker counts the time from when it read the call, so its own deadline is a little later.
  LetTheWorkerLearn();
  runtime_.run_gate.Open();
  EXPECT_TRUE(running->Await().ok());
  // The next call runs after whatever waited.
  EXPECT_TRUE(Start()->Await().ok());
  EXPECT_EQ(Runs(), 2);
}

TEST_F(SchedulingTest, ACallerThatHasGoneCostsNoRun) {
  runtime_.run_gate.Close();
  const auto running = Start();
  runtime_.run_gate.AwaitWaiting(1);
  const auto gone = Start();
  AwaitWaiting(1);
  gone->Cancel();
  EXPECT_TRUE(absl::IsCancelled(gone->Await()));
  LetTheWorkerLearn();
  runtime_.run_gate.Open();
  EXPECT_TRUE(running->Await().ok());
  EXPECT_TRUE(Start()->Await().ok());
  EXPECT_EQ(Runs(), 2);
}

TEST_F(SchedulingTest, UnloadWaitsForCallsInFlightAndThoseThatWait) {
  runtime_.run_gate.Close();
  const auto running = Start();
  runtime_.run_gate.AwaitWaiting(1);
  const auto waiting = Start();
  AwaitWaiting(1);
  ASSERT_TRUE(Unload(kShoes, kVersion1).ok());
  ASSERT_EQ(List().size(), 1u);
  EXPECT_EQ(List()[0].state(), v1::LoadedModel::UNLOADING);
  EXPECT_TRUE(absl::IsNotFound(Infer(RequestFor({1, 2})).status()));
  runtime_.run_gate.Open();
  EXPECT_TRUE(running->Await().ok());
  EXPECT_TRUE(waiting->Await().ok());
  while (!List().empty()) std::this_thread::yield();
  EXPECT_TRUE(runtime_.newest.expired());
}

TEST_F(SchedulingTest, AControlCallThatTakesItsTimeHoldsUpNoInference) {
  LoadVersion(kVersion2);
  runtime_.drop_gate->Close();
  const std::jthread unload([this] { EXPECT_TRUE(Unload(kShoes, kVersion1).ok()); });
  runtime_.drop_gate->AwaitWaiting(1);  // the model's memory is being freed
  // On the same connection, and another control call waits as well.
  const std::jthread list([this] { EXPECT_EQ(List().size(), 1u); });
  for (int i = 0; i < 20; ++i) {
    const auto response = Infer(RequestFor({1, 2}));
    EXPECT_TRUE(response.ok()) << response.status();
    if (!response.ok()) break;
    EXPECT_EQ(response->model_version(), "2");
  }
  runtime_.drop_gate->Open();
}

TEST_F(SchedulingTest, ABadRequestTakesNoSlot) {
  runtime_.run_gate.Close();
  const auto running = Start();
  runtime_.run_gate.AwaitWaiting(1);
  EXPECT_TRUE(absl::IsInvalidArgument(Infer(RequestFor({1, 2, 3})).status()));
  runtime_.run_gate.Open();
  EXPECT_TRUE(running->Await().ok());
}

TEST_F(SchedulingTest, DrainingLetsCallsInFlightFinish) {
  runtime_.run_gate.Close();
  const auto running = Start();
  runtime_.run_gate.AwaitWaiting(1);
  {
    const std::jthread stopper([this] { StopWorker(absl::Seconds(20)); });
    runtime_.run_gate.Open();
  }
  EXPECT_TRUE(running->Await().ok());
}

}  // namespace
}  // namespace slipway::worker
