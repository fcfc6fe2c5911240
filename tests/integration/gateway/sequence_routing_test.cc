// Where the calls of a sequence go: the real gateway in front of workers that know the sequences
// that were started on them, and no others.

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/sync/mutex.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/integration/gateway/gateway_fixture.h"

namespace slipway::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Closed until it is opened.
class Gate {
 public:
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.SignalAll();
  }
  void Pass() {
    MutexLock lock(mutex_);
    while (!open_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = false;
};

class SequenceWorker {
 public:
  SequenceWorker(const TestTrust& trust, const std::string& socket)
      : worker_(std::make_unique<FakeWorker>(trust, socket)) {
    worker_->OnInfer([this](const auto& request, auto& response) {
      Gate* gate = nullptr;
      {
        MutexLock lock(mutex_);
        const std::string id = Id(request);
        const bool start = request.parameters().contains("sequence_start");
        calls_.push_back(id + (request.id().empty() ? "" : ":" + request.id()));
        const std::pair sequence{request.model_version(), id};
        if (start) known_.insert(sequence);
        if (!known_.contains(sequence)) {
          return absl::FailedPreconditionError("sequence " + id + " is not known");
        }
        if (gates_.contains(id)) gate = gates_[id];
      }
      if (gate != nullptr) gate->Pass();
      EchoTensors(request, response);
      return absl::OkStatus();
    });
  }
  std::string address() const { return worker_->address(); }
  /// Calls of the sequence wait there.
  void Hold(const std::string& id, Gate& gate) {
    MutexLock lock(mutex_);
    gates_[id] = &gate;
  }
  /// The ids of the sequences whose calls came, and the call's own.
  std::vector<std::string> calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }
  void Kill() { worker_.reset(); }

 private:
  static std::string Id(const inference::ModelInferRequest& request) {
    const auto& id = request.parameters().at("sequence_id");
    return id.has_string_param() ? id.string_param() : std::to_string(id.int64_param());
  }
  mutable Mutex mutex_;
  std::set<std::pair<std::string, std::string>> known_ GUARDED_BY(mutex_);
  std::vector<std::string> calls_ GUARDED_BY(mutex_);
  std::map<std::string, Gate*> gates_ GUARDED_BY(mutex_);
  std::unique_ptr<FakeWorker> worker_;
};

class SequenceRoutingTest : public GatewayTest {
 protected:
  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    key_ = MakeKey("acme", "OWNER");
    for (int i = 0; i < 3; ++i) {
      workers_.push_back(
          std::make_unique<SequenceWorker>(trust_, folder_ / fmt::format("run/w{}.sock", i)));
    }
  }

  // Versions from 1 on: weight and workers of each.
  void RouteTo(const std::vector<std::pair<int, std::vector<int>>>& versions) {
    std::vector<std::pair<int, std::string>> targets;
    for (size_t i = 0; i < versions.size(); ++i) targets.emplace_back(static_cast<int>(i) + 1, "");
    auto route = Route("acme", "pump", targets);
    for (size_t i = 0; i < versions.size(); ++i) {
      auto& target = *route.mutable_targets(static_cast<int>(i));
      target.set_weight(versions[i].first);
      for (const int worker : versions[i].second) {
        target.add_workers(workers_[static_cast<size_t>(worker)]->address());
      }
    }
    SetRoutes({std::move(route)});
    WaitFor(
        [&] {
          const Answer answer = Ask("GET", "/v2/models/pump", key_);
          return answer.status == 200 &&
                 json::parse(answer.body)["versions"].size() == versions.size();
        },
        "the route");
  }

  Answer Step(const std::string& id, bool start = false, const std::string& version = "") {
    return Ask("POST",
               "/v2/models/pump" + (version.empty() ? "" : "/versions/" + version) + "/infer", key_,
               fmt::format(R"({{"parameters":{{"sequence_id":{}{}}},"inputs":[{{"name":"x",)"
                           R"("shape":[1,2],"datatype":"FP32","data":[1,2]}}]}})",
                           id, start ? R"(,"sequence_start":true)" : ""));
  }
  static std::string VersionIn(const Answer& answer) {
    return json::parse(answer.body).value("model_version", "");
  }
  std::string Text(const std::string& id) const { return '"' + id + '"'; }

  std::string key_;
  std::vector<std::unique_ptr<SequenceWorker>> workers_;
};

TEST_F(SequenceRoutingTest, TheCallsOfASequenceGoToOneWorkerAndSequencesToAll) {
  RouteTo({{1, {0, 1, 2}}});
  for (int id = 1; id <= 30; ++id) {
    for (int step = 0; step < 3; ++step) {
      const Answer answer = Step(id % 2 == 0 ? std::to_string(id) : Text(std::to_string(id)),
                                 /*start=*/step == 0);
      ASSERT_EQ(answer.status, 200) << answer.body;
    }
  }
  size_t calls = 0;
  for (const auto& worker : workers_) {
    EXPECT_FALSE(worker->calls().empty());
    calls += worker->calls().size();
  }
  EXPECT_EQ(calls, 90u);
}

TEST_F(SequenceRoutingTest, OneThatIsInProgressOutlivesAChangeOfWeights) {
  RouteTo({{1, {0}}});
  for (int id = 1; id <= 30; ++id) EXPECT_EQ(Step(std::to_string(id), true).status, 200);
  RouteTo({{1, {0}}, {9, {1}}});
  for (int id = 1; id <= 30; ++id) {
    const Answer answer = Step(std::to_string(id));
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(VersionIn(answer), "1");
  }
  // New ones go by the weights.
  int at_the_second = 0;
  for (int id = 31; id <= 60; ++id) {
    if (VersionIn(Step(std::to_string(id), true)) == "2") ++at_the_second;
  }
  EXPECT_GT(at_the_second, 15);
}

TEST_F(SequenceRoutingTest, OneThatNoWorkerKnowsIsRefusedInTheirWords) {
  RouteTo({{1, {0}}, {1, {1}}});
  const Answer answer = Step("7");
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("sequence 7 is not known"));
  EXPECT_THAT(workers_[0]->calls(), ElementsAre("7"));
  EXPECT_THAT(workers_[1]->calls(), ElementsAre("7"));
}

TEST_F(SequenceRoutingTest, WhoNamesAVersionMeansTheSequenceThere) {
  RouteTo({{1, {0}}, {1, {1}}});
  EXPECT_EQ(Step("7", true, "1").status, 200);
  EXPECT_EQ(Step("7", false, "1").status, 200);
  EXPECT_EQ(Step("7", false, "2").status, 400);
  EXPECT_EQ(workers_[0]->calls().size(), 2u);
}

TEST_F(SequenceRoutingTest, WhereItsWorkerIsGoneTheCallerIsToldAndStartsAnew) {
  RouteTo({{1, {0, 1}}});
  EXPECT_EQ(Step("7", true).status, 200);
  const size_t its = workers_[0]->calls().empty() ? 1 : 0;
  workers_[its]->Kill();
  const Answer lost = Step("7");
  EXPECT_EQ(lost.status, 400) << lost.body;
  EXPECT_THAT(lost.body, HasSubstr("sequence 7 is not known"));
  EXPECT_EQ(Step("8", true).status, 200);
  EXPECT_EQ(Step("8").status, 200);
}

TEST_F(SequenceRoutingTest, AStreamSendsASequencesCallsOneAfterTheOther) {
  RouteTo({{1, {0}}});
  Gate gate;
  workers_[0]->Hold("1", gate);
  const auto stub = inference::GRPCInferenceService::NewStub(
      grpc::CreateChannel(gateway_->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + key_);
  const auto stream = stub->ModelStreamInfer(&context);
  const auto send = [&](int64_t sequence, const std::string& id, bool start) {
    inference::ModelInferRequest request;
    request.set_model_name("pump");
    request.set_id(id);
    (*request.mutable_parameters())["sequence_id"].set_int64_param(sequence);
    if (start) (*request.mutable_parameters())["sequence_start"].set_bool_param(true);
    ASSERT_TRUE(stream->Write(request));
  };
  send(1, "a", true);
  send(1, "b", false);
  send(1, "c", false);
  // Sent last and there: so would be whatever was sent before it.
  send(2, "d", true);
  WaitFor([&] { return workers_[0]->calls().size() >= 2; }, "both sequences");
  EXPECT_THAT(workers_[0]->calls(), testing::UnorderedElementsAre("1:a", "2:d"));
  gate.Open();
  stream->WritesDone();
  std::vector<std::string> answered;
  inference::ModelStreamInferResponse response;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.error_message(), "");
    answered.push_back(response.infer_response().id());
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(answered, ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(workers_[0]->calls(), testing::UnorderedElementsAre("1:a", "2:d", "1:b", "1:c"));
}

}  // namespace
}  // namespace slipway::gateway
