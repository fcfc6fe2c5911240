// Predictions: through the listener, to real gRPC workers and back, with a row for each.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/sync/mutex.h"
#include "google/protobuf/empty.pb.h"
#include "services/gateway/identity/api_key.h"
#include "slipway/controller/v1/controller.pb.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"
#include "tests/integration/gateway/oip_fixture.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(OipTest, PredictsAndSaysWhichVersionDid) {
  const Answer answer = Infer(InferBody());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            R"({"model_name":"digits","model_version":"3","id":"42","outputs":[{"name":"x",)"
            R"("shape":[1,2],"datatype":"FP32","data":[1.5,2]}]})");
  ASSERT_THAT(worker_->requests(), SizeIs(1));
  EXPECT_EQ(worker_->requests()[0].model_name(), "tenants/acme/deployments/digits");
  EXPECT_EQ(worker_->requests()[0].model_version(), "3");
  EXPECT_EQ(Infer(InferBody(), "/v2/models/digits/versions/3/infer").status, 200);
  EXPECT_EQ(Infer(InferBody(), "/v2/models/digits/versions/4/infer").status, 404);
}

TEST_F(OipTest, EachAnsweredCallHasOneRowAndARefusedOneNone) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Infer(InferBody()).status, 200);
  EXPECT_EQ(Infer("{}").status, 400);
  EXPECT_EQ(Infer(InferBody(), "/v2/models/none/infer").status, 404);
  worker_->OnInfer([](const auto&, auto&) { return InvalidField("inputs.x", "is wrong"); });
  EXPECT_EQ(Infer(InferBody()).status, 400);
  const json records = Records();
  ASSERT_EQ(records.size(), 3u) << records.dump(1);
  const json& row = records[0];
  EXPECT_EQ(row["kind"], "inference");
  EXPECT_EQ(row["tenant"], "acme");
  EXPECT_EQ(row["keyId"], std::string(*KeyIdOf(key_)));
  EXPECT_EQ(row["resource"], "tenants/acme/deployments/digits");
  EXPECT_EQ(row["modelVersion"], "tenants/acme/models/m/versions/3");
  EXPECT_EQ(row["quantity"], 1);
  EXPECT_EQ(row["httpCode"], 200);
  EXPECT_EQ(row["broken"], false);
  EXPECT_EQ(row["computeMicros"], "123");
  EXPECT_EQ(row["inputBytes"], std::to_string(InferBody().size()));
  const json totals = AskJson("GET", "/api/v1/tenants/-/usage", key_)["totals"];
  ASSERT_EQ(totals.size(), 1u);
  EXPECT_EQ(totals[0]["count"], "3");
  const json by_model =
      AskJson("GET", "/api/v1/usage?groupBy=model&groupBy=day", operator_key_)["totals"];
  ASSERT_EQ(by_model.size(), 1u) << by_model.dump(1);
  EXPECT_EQ(by_model[0]["model"], "tenants/acme/models/m");
  EXPECT_EQ(by_model[0]["count"], "3");
  const std::string id = row["requestId"];
  EXPECT_EQ(AskJson("GET", "/api/v1/usage:explain?requestId=" + id, key_)["summary"],
            "charged: 1 of inference on tenants/acme/deployments/digits");
}

// A kill between the two leaves a row without an answer, never an answer without its row.
TEST_F(OipTest, TheRowIsWrittenBeforeTheAnswer) {
  http::RawPeer peer(gateway_->address());
  const SystemCalls recorded;
  ASSERT_EQ(peer.Ask(Render("POST", "/v2/models/digits/infer", key_, InferBody())).status, 200);
  const auto calls = recorded.calls();
  const auto row = std::find_if(calls.begin(), calls.end(), WritesRow);
  const auto answer = std::find_if(calls.begin(), calls.end(), [](const auto& call) {
    return call.operation == "send" && call.bytes.starts_with("HTTP/1.1 200");
  });
  ASSERT_TRUE(row != calls.end() && answer != calls.end());
  EXPECT_LT(row - calls.begin(), answer - calls.begin());
}

// No file may grow or be written at all: sockets go on, the journal does not.
class NoFileWrites {
 public:
  NoFileWrites() {
    before_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    rlimit none = limit_;
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoFileWrites() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }

 private:
  rlimit limit_{};
  void (*before_)(int);
};

TEST_F(OipTest, WithoutItsRowNoAnswerGoesOut) {
  {
    const NoFileWrites no_writes;
    const Answer answer = Infer(InferBody());
    EXPECT_EQ(answer.status, 500) << answer.body;
    EXPECT_THAT(answer.body, ::testing::Not(HasSubstr("outputs")));
  }
  EXPECT_EQ(Infer(InferBody()).status, 200);
  EXPECT_EQ(Records().size(), 1u);
}

TEST_F(OipTest, AFullJournalRefusesBeforeTheWorkIsDone) {
  gateway_.reset();
  config_.journal_bytes = 128 << 10;
  // The ledger cannot take rows for now.
  config_.ledger_interval = absl::Minutes(5);
  StartGateway();
  RouteTo("acme", "digits", key_, {{3, worker_->address()}});
  int answered = 0;
  Answer last;
  http::RawPeer peer(gateway_->address());
  for (; answered < 20'000; ++answered) {
    last = peer.Ask(Render("POST", "/v2/models/digits/infer", key_, InferBody()));
    if (last.status != 200) break;
  }
  EXPECT_EQ(last.status, 503);
  EXPECT_THAT(last.body, HasSubstr("waits for the database"));
  EXPECT_GT(answered, 1000);
  EXPECT_THAT(worker_->requests(), SizeIs(answered));
  // Reading the ledger moves the rows on, and predictions go on.
  WaitFor(
      [&] {
        return AskJson("GET", "/api/v1/tenants/-/usage", key_)["totals"][0]["count"] ==
               std::to_string(answered);
      },
      "the rows");
  EXPECT_EQ(Infer(InferBody()).status, 200);
}

TEST_F(OipTest, ErrorsAreTheProtocols) {
  struct {
    absl::Status status;
    int code;
  } const cases[] = {
      {InvalidField("inputs.x", "is wrong"), 400},
      {absl::FailedPreconditionError("x"), 400},
      {absl::NotFoundError("x"), 404},
      {absl::ResourceExhaustedError("the queue is full"), 503},
      {TooLarge("x", 1), 413},
      {absl::UnavailableError("unloading"), 503},
      {absl::UnimplementedError("x"), 501},
      {absl::InternalError("segment of /secret"), 500},
      {absl::DeadlineExceededError("x"), 504},
      {absl::AbortedError("x"), 400},
  };
  for (const auto& wrong : cases) {
    worker_->OnInfer([status = wrong.status](const auto&, auto&) { return status; });
    const Answer answer = Infer(InferBody());
    EXPECT_EQ(answer.status, wrong.code) << wrong.status;
    const json body = json::parse(answer.body);
    EXPECT_TRUE(body["error"].is_string()) << answer.body;
    EXPECT_EQ(body.size(), 1u);
    EXPECT_THAT(answer.body, ::testing::Not(HasSubstr("secret")));
  }
}

TEST_F(OipTest, EveryRefusalHasTheProtocolsForm) {
  struct {
    const char* method;
    std::string path;
    std::string body;
    int status;
  } const cases[] = {
      {"GET", "/v2/models/none", "", 404},
      {"GET", "/v2/models/digits/versions/9", "", 404},
      {"GET", "/v2/models/digits/infer", "", 405},
      {"POST", "/v2/models/digits", "{}", 405},
      {"POST", "/v2/health/live", "{}", 405},
      {"POST", "/v2", "{}", 405},
      {"GET", "/v2/models", "", 404},
      {"GET", "/v2/models/", "", 404},
      {"GET", "/v2/models/../models/digits", "", 404},
      {"GET", "/v2/models/%2e%2e%2fdigits", "", 404},
      {"GET", "/v2/models/digits%2fversions%2f3", "", 404},
      {"GET", "/v2/models/" + std::string(10'000, 'm'), "", 404},
      {"GET", "/v2/models/digits/versions//ready", "", 404},
      {"GET", "/v2/models/digits/config/extra", "", 404},
      {"POST", "/v2/models/digits/infer", "", 400},
      {"POST", "/v2/models/digits/infer", "{\"inputs\":", 400},
      {"POST", "/v2/models/digits/infer",
       R"({"inputs":[{"name":"x","shape":[16,1152921504606846978],"datatype":"FP32","data":[]}]})",
       400},
  };
  for (const auto& wrong : cases) {
    const Answer answer = Ask(wrong.method, wrong.path, key_, wrong.body);
    EXPECT_EQ(answer.status, wrong.status) << wrong.path << answer.body;
    EXPECT_TRUE(json::parse(answer.body)["error"].is_string()) << wrong.path << answer.body;
  }
  EXPECT_EQ(Ask("POST", "/v2/models/digits/infer", "", InferBody()).status, 401);
  EXPECT_TRUE(json::parse(Ask("GET", "/v2", "").body)["error"].is_string());
  EXPECT_THAT(worker_->requests(), SizeIs(0));
}

TEST_F(OipTest, RolesAndTenants) {
  EXPECT_EQ(Ask("POST", "/v2/models/digits/infer", MakeKey("acme", "CALLER"), InferBody()).status,
            200);
  const std::string viewer = MakeKey("acme", "VIEWER");
  EXPECT_EQ(Ask("POST", "/v2/models/digits/infer", viewer, InferBody()).status, 403);
  EXPECT_EQ(Ask("GET", "/v2/models/digits", viewer).status, 200);
  const std::string globex = MakeKey("globex", "OWNER");
  const Answer foreign = Ask("POST", "/v2/models/digits/infer", globex, InferBody());
  const Answer absent = Ask("POST", "/v2/models/absent/infer", globex, InferBody());
  EXPECT_EQ(foreign.status, 404);
  EXPECT_EQ(foreign.body, R"({"error":"model digits was not found"})");
  EXPECT_EQ(absent.body, R"({"error":"model absent was not found"})");
  EXPECT_EQ(Ask("POST", "/v2/models/digits/infer", operator_key_, InferBody()).status, 404);
}

TEST_F(OipTest, DescribesServerAndModel) {
  EXPECT_EQ(AskJson("GET", "/v2", key_)["name"], "slipway");
  EXPECT_THAT(AskJson("GET", "/v2/", key_)["extensions"].dump(), HasSubstr("binary_tensor_data"));
  const json model = AskJson("GET", "/v2/models/digits", key_);
  EXPECT_EQ(model["versions"], json({"3"}));
  EXPECT_EQ(model["platform"], "slipway");
  EXPECT_EQ(model["inputs"][0], (json{{"name", "x"}, {"datatype", "FP32"}, {"shape", {-1, 2}}}));
  EXPECT_EQ(model["outputs"], json::array());
  EXPECT_EQ(model["properties"]["labels"], R"(["cat","dog"])");
  EXPECT_EQ(AskJson("GET", "/v2/models/digits/ready", key_)["ready"], true);
  SetRoutes({Route("acme", "digits", {{3, ""}})});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/ready", key_).status == 503; },
          "the endpoint without a worker");
  EXPECT_EQ(Infer(InferBody()).status, 503);
}

TEST_F(OipTest, GoesToAnotherWorkerWhereOneIsNotThere) {
  RouteTo("acme", "digits", key_, {{3, worker_->address()}});
  controller::v1::Route route = Route("acme", "digits", {{3, worker_->address()}});
  // Nobody listens there.
  route.mutable_targets(0)->add_workers("unix:" + (folder_ / "run/dead.sock"));
  SetRoutes({route});
  for (int i = 0; i < 40; ++i) EXPECT_EQ(Infer(InferBody()).status, 200);
  EXPECT_THAT(worker_->requests(), SizeIs(40));
  EXPECT_EQ(Records().size(), 40u);
}

TEST_F(OipTest, ACallThatReachedItsWorkerIsNotRepeated) {
  auto second = std::make_unique<FakeWorker>(trust_, folder_ / "run/w2.sock");
  controller::v1::Route route = Route("acme", "digits", {{3, worker_->address()}});
  route.mutable_targets(0)->add_workers(second->address());
  SetRoutes({route});
  const auto unavailable = [](const auto&, auto&) { return absl::UnavailableError("busy"); };
  worker_->OnInfer(unavailable);
  second->OnInfer(unavailable);
  EXPECT_EQ(Infer(InferBody()).status, 503);
  EXPECT_EQ(worker_->requests().size() + second->requests().size(), 1u);
}

TEST_F(OipTest, ACallOfAVersionThatWasReplacedMeanwhileGoesToTheNewOne) {
  // The worker has unloaded version 3 since the gateway chose it.
  worker_->OnInfer([&](const auto& request, auto& response) {
    if (request.model_version() == "3") {
      SetRoutes({Route("acme", "digits", {{4, worker_->address()}})});
      WaitFor([&] { return Ask("GET", "/v2/models/digits/versions/4", key_).status == 200; },
              "version 4");
      return absl::NotFoundError("version 3 of digits was not found");
    }
    EchoTensors(request, response);
    return absl::OkStatus();
  });
  const Answer answer = Infer(InferBody());
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["model_version"], "4");
  // Who names a version wants that one.
  SetRoutes({Route("acme", "digits", {{3, worker_->address()}, {4, worker_->address()}})});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/versions/3", key_).status == 200; },
          "version 3");
  EXPECT_EQ(Ask("POST", "/v2/models/digits/versions/3/infer", key_, InferBody()).status, 404);
}

TEST_F(OipTest, SharesCallsByWeight) {
  auto second = std::make_unique<FakeWorker>(trust_, folder_ / "run/w2.sock");
  controller::v1::Route route =
      Route("acme", "digits", {{3, worker_->address()}, {4, second->address()}});
  route.mutable_targets(0)->set_weight(9);
  SetRoutes({route});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/versions/4", key_).status == 200; },
          "version 4");
  std::map<std::string, int> versions;
  http::RawPeer peer(gateway_->address());
  for (int i = 0; i < 500; ++i) {
    const Answer answer = peer.Ask(Render("POST", "/v2/models/digits/infer", key_, InferBody()));
    ++versions[json::parse(answer.body)["model_version"]];
  }
  EXPECT_NEAR(versions["4"], 50, 35);
  EXPECT_EQ(versions["3"] + versions["4"], 500);
}

TEST_F(OipTest, TellsTheControllerOfEachVersionsCallsOnce) {
  Mutex mutex;
  int refusals = 1;
  std::map<std::string, std::pair<int64_t, int64_t>> told;  // by version: answered, errors
  platform_->On("ControllerService/ReportTraffic", [&](const google::protobuf::Message& message) {
    MutexLock lock(mutex);
    FakePlatform::Reply reply;
    reply.messages.push_back(std::make_shared<google::protobuf::Empty>());
    if (refusals-- > 0) {
      reply.status = absl::UnavailableError("not now");
      return reply;
    }
    const auto& report = dynamic_cast<const controller::v1::ReportTrafficRequest&>(message);
    for (const auto& traffic : report.traffic()) {
      EXPECT_EQ(traffic.deployment(), "tenants/acme/deployments/digits");
      auto& [answered, errors] = told[traffic.model_version()];
      for (const int64_t bucket : traffic.latency()) answered += bucket;
      errors += traffic.errors();
    }
    return reply;
  });
  SetRoutes({Route("acme", "digits", {{3, worker_->address()}, {4, worker_->address()}})});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/versions/4", key_).status == 200; },
          "version 4");
  worker_->OnInfer([](const auto& request, auto& response) {
    if (request.model_version() == "4") return absl::InternalError("broken");
    EchoTensors(request, response);
    return absl::OkStatus();
  });
  const auto call = [&](const std::string& version) {
    return Ask("POST", "/v2/models/digits/versions/" + version + "/infer", key_, InferBody())
        .status;
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(call("3"), 200);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(call("4"), 500);
  // A body that no version has seen says nothing of any.
  EXPECT_EQ(Ask("POST", "/v2/models/digits/infer", key_, "{").status, 400);
  const std::map<std::string, std::pair<int64_t, int64_t>> expected = {
      {"tenants/acme/models/m/versions/3", {5, 0}}, {"tenants/acme/models/m/versions/4", {0, 2}}};
  WaitFor(
      [&] {
        MutexLock lock(mutex);
        return told == expected;
      },
      "the counts");
}

TEST_F(OipTest, KeepsTheRoutesWhileTheControllerIsAway) {
  platform_->Stop();
  EXPECT_EQ(Infer(InferBody()).status, 200);
  platform_->StartAgain();
  SetRoutes({Route("acme", "letters", {{1, worker_->address()}})});
  WaitFor([&] { return Ask("GET", "/v2/models/letters", key_).status == 200; }, "the new routes");
  EXPECT_EQ(Ask("GET", "/v2/models/digits", key_).status, 404);
}

TEST_F(OipTest, ACallerThatLeavesCancelsItsWork) {
  worker_->HoldInferUntilCancelled();
  {
    http::RawPeer peer(gateway_->address());
    peer.Send(Render("POST", "/v2/models/digits/infer", key_, InferBody()));
    WaitFor([&] { return !worker_->requests().empty(); }, "the worker to be asked");
  }
  WaitFor([&] { return worker_->cancelled() == 1; }, "the worker to see the cancellation");
  EXPECT_EQ(Records().size(), 0u);
}

TEST_F(OipTest, AnsweredCallsHaveTheirRowsAfterAKillAndARestart) {
  http::RawPeer peer(gateway_->address());
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(peer.Ask(Render("POST", "/v2/models/digits/infer", key_, InferBody())).status, 200);
  }
  // The database and journal as a kill leaves them at this moment.
  const std::string copy = folder_ / "killed";
  std::filesystem::create_directory(copy);
  for (const char* file : {"gateway.db", "gateway.db-wal"}) {
    if (std::filesystem::exists(folder_ / file)) {
      std::filesystem::copy(folder_ / file, copy + "/" + file);
    }
  }
  std::filesystem::copy(folder_ / "journal", copy + "/journal");
  gateway_.reset();
  config_.database = "sqlite:" + copy + "/gateway.db";
  config_.data_dir = copy;
  StartGateway();
  WaitFor([&] { return Records().size() >= 50; }, "the rows");
  EXPECT_EQ(Records().size(), 50u);
}

TEST_F(OipTest, TrainingsUsageComesIntoTheSameLedger) {
  platform_->On("TrainingService/ListUsageEvents", [](const google::protobuf::Message& message) {
    const auto& request = static_cast<const training::v1::ListUsageEventsRequest&>(message);
    auto response = std::make_shared<training::v1::ListUsageEventsResponse>();
    if (request.after_cursor() < 1) {
      auto& event = *response->add_events();
      event.set_cursor(1);
      event.set_tenant("acme");
      event.set_kind("training_seconds");
      event.set_quantity(12.5);
      event.set_resource("tenants/acme/jobs/j");
      event.mutable_time()->set_seconds(1'800'000'000);
    }
    return FakePlatform::Reply{.messages = {response}, .status = absl::OkStatus()};
  });
  WaitFor([&] { return Records().size() == 1; }, "training's usage");
  EXPECT_EQ(Records()[0]["kind"], "training_seconds");
  EXPECT_EQ(Records()[0]["quantity"], 12.5);
}

TEST_F(OipTest, StoredBytesComeIntoTheSameLedger) {
  platform_->On("RegistryService/ListUsageEvents", [](const google::protobuf::Message& message) {
    const auto& request = static_cast<const registry::v1::ListUsageEventsRequest&>(message);
    auto response = std::make_shared<registry::v1::ListUsageEventsResponse>();
    if (request.after_cursor() < 1) {
      auto& event = *response->add_events();
      event.set_cursor(1);
      event.set_tenant("acme");
      event.set_kind("stored_byte_hours");
      event.set_quantity(4e9);
      event.set_resource("tenants/acme");
      event.mutable_time()->set_seconds(1'800'000'000);
    }
    return FakePlatform::Reply{.messages = {response}, .status = absl::OkStatus()};
  });
  WaitFor([&] { return Records().size() == 1; }, "the registry's usage");
  const json totals = AskJson("GET", "/api/v1/usage", key_)["totals"];
  ASSERT_EQ(totals.size(), 1u);
  EXPECT_EQ(totals[0]["kind"], "stored_byte_hours");
  EXPECT_EQ(totals[0]["quantity"], 4e9);
}

TEST_F(OipTest, CountsByEndpointAndNeverByKey) {
  Infer(InferBody());
  Infer(InferBody(), "/v2/models/none-" + std::string(20, 'x') + "/infer");
  // A call is counted when its answer has left, which its caller may see first.
  const std::string counted =
      "slipway_gateway_inference_requests_total{code=\"200\",endpoint=\"digits\",tenant=\"acme\"} "
      "1";
  WaitFor([&] { return metrics_->Text().find(counted) != std::string::npos; }, "the call's count");
  const std::string text = metrics_->Text();
  EXPECT_THAT(text, HasSubstr(counted));
  EXPECT_THAT(text, HasSubstr("slipway_gateway_requests_total{code=\"404\",method=\"v2/infer\"}"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("none-")));
  EXPECT_THAT(text, ::testing::Not(HasSubstr(std::string(*KeyIdOf(key_)))));
}

TEST_F(OipTest, TakesLargeBodiesThroughThePool) {
  std::string data = "[";
  constexpr int kElements = 150'528;
  for (int i = 0; i < kElements; ++i) data += (i > 0 ? "," : "") + fmt::format("{}.5", i % 256);
  const Answer answer = Infer(
      fmt::format(R"({{"inputs":[{{"name":"x","shape":[1,{}],"datatype":"FP32","data":{}]}}]}})",
                  kElements, data));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::parse(answer.body)["outputs"][0]["data"].size(), static_cast<size_t>(kElements));
}

}  // namespace
}  // namespace slipway::gateway
