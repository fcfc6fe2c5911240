// How calls are served beside their version's weight: the real gateway in front of fake workers.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/sync/mutex.h"
#include "tests/integration/gateway/gateway_fixture.h"

namespace slipway::gateway {
namespace {

using ::testing::SizeIs;

// What a deployment does for its tests: tenant acme has some, each on workers of its own.
class RoutingTest : public GatewayTest {
 protected:
  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    key_ = MakeKey("acme", "OWNER");
  }

  // On so many workers of its own.
  controller::v1::Route& Add(const std::string& endpoint, int workers = 1) {
    controller::v1::Route& route = routes_.emplace_back(Route("acme", endpoint, {{1, ""}}));
    for (int i = 0; i < workers; ++i) {
      auto& worker = workers_[endpoint].emplace_back(std::make_unique<FakeWorker>(
          trust_, folder_ / fmt::format("run/{}{}.sock", endpoint, i)));
      route.mutable_targets(0)->add_workers(worker->address());
    }
    return route;
  }
  FakeWorker& Its(const std::string& endpoint, size_t worker = 0) {
    return *workers_.at(endpoint)[worker];
  }
  size_t Calls(const std::string& endpoint) {
    size_t calls = 0;
    for (const auto& worker : workers_.at(endpoint)) calls += worker->requests().size();
    return calls;
  }

  // Publishes the routes, and waits until the last of them is known.
  void Publish() {
    // Known by a name that is new each time.
    auto routes = routes_;
    const std::string mark = fmt::format("mark-{}", ++marks_);
    routes.push_back(Route("acme", mark, {{1, ""}}));
    SetRoutes(std::move(routes));
    WaitFor([&] { return Ask("GET", "/v2/models/" + mark, key_).status == 200; }, "the routes");
  }

  static std::string Name(const std::string& endpoint) {
    return "tenants/acme/deployments/" + endpoint;
  }

  Answer Infer(const std::string& endpoint, const std::string& headers = "") {
    return Ask("POST", fmt::format("/v2/models/{}/infer", endpoint), key_, InferBody(), headers);
  }

  static auto Fails(const absl::Status& status) {
    return [status](const auto&, auto&) { return status; };
  }

  int64_t Metric(const std::string& series) {
    const std::string text = metrics_->Text();
    const size_t at = text.find("slipway_gateway_" + series + " ");
    return at == std::string::npos ? 0 : std::atoll(&text[text.find(' ', at)]);
  }

  json Records() {
    return AskJson("GET", "/api/v1/tenants/-/usageRecords?pageSize=1000", key_)["usageRecords"];
  }

  std::string key_;
  std::vector<controller::v1::Route> routes_;
  std::map<std::string, std::vector<std::unique_ptr<FakeWorker>>> workers_;
  int marks_ = 0;
};

TEST_F(RoutingTest, ADeploymentsTimeOutEndsItsCalls) {
  Add("slow").mutable_routing()->mutable_timeout()->set_nanos(50'000'000);
  Publish();
  Its("slow").HoldInferUntilCancelled();
  EXPECT_EQ(Infer("slow").status, 504);
  WaitFor([&] { return Its("slow").cancelled() == 1; }, "the call's end at the worker");
}

TEST_F(RoutingTest, CallsOfOneHeadersValueStayTogether) {
  Add("digits", 3).mutable_routing()->set_sticky_header("x-session");
  Publish();
  std::set<size_t> used;
  for (int session = 0; session < 20; ++session) {
    std::vector<size_t> before;
    for (size_t i = 0; i < 3; ++i) before.push_back(Its("digits", i).requests().size());
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(Infer("digits", fmt::format("X-Session: s{}\r\n", session)).status, 200);
    }
    for (size_t i = 0; i < 3; ++i) {
      const size_t its = Its("digits", i).requests().size() - before[i];
      EXPECT_TRUE(its == 0 || its == 4) << its;
      if (its > 0) used.insert(i);
    }
  }
  EXPECT_THAT(used, SizeIs(3));
}

TEST_F(RoutingTest, TheFallbackAnswersWhereNoWorkerIsThereAndTheRowSaysSo) {
  Add("main", 0).mutable_routing()->set_fallback(Name("spare"));
  Add("spare");
  Publish();
  const Answer answer = Infer("main");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["model_name"], "spare");
  const json records = Records();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0]["resource"], Name("spare"));
  EXPECT_EQ(records[0]["askedFor"], "main");
  // What callers asked for has the count.
  WaitFor(
      [&] {
        return Metric(R"(inference_requests_total{code="200",endpoint="main",tenant="acme"})") == 1;
      },
      "the count");
  EXPECT_EQ(Metric(R"(inference_fallbacks_total{endpoint="main",tenant="acme"})"), 1);
}

TEST_F(RoutingTest, AKeyThatMayNotCallTheFallbackIsNotAnsweredByIt) {
  Add("main", 0).mutable_routing()->set_fallback(Name("spare"));
  Add("spare");
  Publish();
  const auto status_with = [&](const std::string& models) {
    const std::string body =
        fmt::format(R"({{"role":"ROLE_CALLER","allowedModels":[{}]}})", models);
    const std::string key =
        AskJson("POST", "/api/v1/tenants/acme/keys", operator_key_, body)["secret"];
    return Ask("POST", "/v2/models/main/infer", key, InferBody()).status;
  };
  EXPECT_EQ(status_with(R"("main")"), 503);
  EXPECT_EQ(Calls("spare"), 0u);
  EXPECT_EQ(status_with(R"("main","spare")"), 200);
}

TEST_F(RoutingTest, TheFallbackAnswersWhatTheFirstOneFailedAtOrHadNoRoomFor) {
  Add("main").mutable_routing()->set_fallback(Name("spare"));
  Add("spare");
  Publish();
  for (const absl::Status& failure :
       {absl::UnavailableError("the queue is full"), absl::ResourceExhaustedError("no memory"),
        absl::InternalError("broken"), absl::NotFoundError("unloaded")}) {
    Its("main").OnInfer(Fails(failure));
    EXPECT_EQ(Infer("main").status, 200) << failure;
  }
  EXPECT_EQ(Calls("spare"), 4u);
}

TEST_F(RoutingTest, TheFallbackIsAskedWhenTheFirstOnesTimeIsOverAndTheCallerStillWaits) {
  auto& routing = *Add("main").mutable_routing();
  routing.set_fallback(Name("spare"));
  routing.mutable_timeout()->set_nanos(50'000'000);
  Add("spare");
  Publish();
  Its("main").HoldInferUntilCancelled();
  EXPECT_EQ(Infer("main").status, 200);
}

TEST_F(RoutingTest, CallersErrorsVersionsAndSequencesHaveNoFallback) {
  Add("main").mutable_routing()->set_fallback(Name("spare"));
  Add("spare");
  Publish();
  Its("main").OnInfer(Fails(absl::InvalidArgumentError("x: must have 2 columns")));
  EXPECT_EQ(Infer("main").status, 400);
  Its("main").OnInfer(Fails(absl::InternalError("broken")));
  EXPECT_EQ(Ask("POST", "/v2/models/main/versions/1/infer", key_, InferBody()).status, 500);
  const std::string step = R"({"parameters":{"sequence_id":7,"sequence_start":true},"inputs":[)"
                           R"({"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]})";
  EXPECT_EQ(Ask("POST", "/v2/models/main/infer", key_, step).status, 500);
  EXPECT_EQ(Calls("spare"), 0u);
}

TEST_F(RoutingTest, FallbacksOfFallbacksAreAskedAndARingOfThemEnds) {
  Add("one", 0).mutable_routing()->set_fallback(Name("two"));
  Add("two", 0).mutable_routing()->set_fallback(Name("three"));
  Add("three");
  // The controller refuses these; two tables may still say so together.
  Add("tick", 0).mutable_routing()->set_fallback(Name("tock"));
  Add("tock", 0).mutable_routing()->set_fallback(Name("tick"));
  Publish();
  EXPECT_EQ(json::parse(Infer("one").body)["model_name"], "three");
  EXPECT_EQ(Infer("tick").status, 503);
  const auto fallbacks = [&](const std::string& of) {
    return Metric(fmt::format(R"(inference_fallbacks_total{{endpoint="{}",tenant="acme"}})", of));
  };
  EXPECT_EQ(fallbacks("tick") + fallbacks("tock"), 4);
}

TEST_F(RoutingTest, AFailureThatTheFallbackHidCountsAgainstItsVersion) {
  Mutex mutex;
  std::map<std::string, int64_t> errors;
  platform_->On("ControllerService/ReportTraffic", [&](const google::protobuf::Message& message) {
    const auto& report = dynamic_cast<const controller::v1::ReportTrafficRequest&>(message);
    MutexLock lock(mutex);
    for (const auto& traffic : report.traffic()) errors[traffic.deployment()] += traffic.errors();
    FakePlatform::Reply reply;
    reply.messages.push_back(std::make_shared<google::protobuf::Empty>());
    return reply;
  });
  Add("main").mutable_routing()->set_fallback(Name("spare"));
  Add("spare");
  Publish();
  Its("main").OnInfer(Fails(absl::InternalError("broken")));
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor(
      [&] {
        MutexLock lock(mutex);
        return errors[Name("main")] == 1 && errors.contains(Name("spare"));
      },
      "the counts");
  EXPECT_EQ(errors[Name("spare")], 0);
}

TEST_F(RoutingTest, TryingAgainHasABudget) {
  // Each worker has unloaded the version: the gateway may ask all of them, and does so for a few.
  Add("digits", 3);
  Publish();
  for (size_t i = 0; i < 3; ++i) {
    Its("digits", i).OnInfer(Fails(absl::NotFoundError("version 1 was not found")));
  }
  constexpr size_t kCalls = 60;
  for (size_t i = 0; i < kCalls; ++i) EXPECT_EQ(Infer("digits").status, 404);
  EXPECT_GT(Calls("digits"), kCalls);
  EXPECT_LE(Calls("digits"), kCalls + kCalls / 5 + 3);
  EXPECT_GT(
      Metric(R"(inference_retries_total{endpoint="digits",outcome="over_budget",tenant="acme"})"),
      0);
}

TEST_F(RoutingTest, AWorkerThatFailsIsSetAsideUntilACopyOfACallIsAnswered) {
  Add("digits", 2);
  Publish();
  Its("digits", 0).OnInfer(Fails(absl::InternalError("broken")));
  int failures = 0;
  for (int i = 0; i < 100; ++i) failures += Infer("digits").status == 200 ? 0 : 1;
  EXPECT_EQ(failures, 5);
  EXPECT_EQ(Metric(R"(worker_ejections_total{endpoint="digits",tenant="acme"})"), 1);
  // It is well again: a copy shows it, and no caller meets a failure meanwhile.
  Its("digits", 0).OnInfer(nullptr);
  const size_t before = Its("digits", 0).requests().size();
  WaitFor(
      [&] {
        EXPECT_EQ(Infer("digits").status, 200);
        return Its("digits", 0).requests().size() > before + 1;
      },
      "calls of it");
}

class ShadowTest : public RoutingTest {
 protected:
  // Each call of "main" is copied to "next".
  controller::v1::RoutingPolicy::Shadow& AddPair(int workers = 1) {
    Add("next", workers);
    auto& shadow = *Add("main").mutable_routing()->mutable_shadow();
    shadow.set_deployment(Name("next"));
    shadow.set_percent(100);
    return shadow;
  }
  int64_t Shadows(const std::string& outcome) {
    return Metric(fmt::format(R"(shadow_calls_total{{endpoint="main",outcome="{}",tenant="acme"}})",
                              outcome));
  }
};

TEST_F(ShadowTest, CopiesAreComparedAndCountedAndNobodyIsCharged) {
  AddPair().set_tolerance(0.1);
  Publish();
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Shadows("agreed") == 1; }, "the first copy");
  // A little away, and then far.
  Its("next").OnInfer([](const auto& request, auto& response) {
    EchoTensors(request, response);
    const float values[] = {1.6f, 2};
    response.set_raw_output_contents(0, reinterpret_cast<const char*>(values), sizeof(values));
    return absl::OkStatus();
  });
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Shadows("agreed") == 2; }, "the second copy");
  Its("next").OnInfer([](const auto& request, auto& response) {
    EchoTensors(request, response);
    const float values[] = {1.5f, 3};
    response.set_raw_output_contents(0, reinterpret_cast<const char*>(values), sizeof(values));
    return absl::OkStatus();
  });
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Shadows("differed") == 1; }, "the third copy");
  EXPECT_THAT(Records(), SizeIs(3));
  for (const json& record : Records()) EXPECT_EQ(record["resource"], Name("main"));
}

TEST_F(ShadowTest, ItsFailuresAreCountedAndNoCallerSeesThem) {
  AddPair();
  Publish();
  Its("next").OnInfer(Fails(absl::InternalError("broken")));
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Shadows("failed") == 1; }, "the copy");
  // Both fail alike.
  Its("next").OnInfer(Fails(absl::InvalidArgumentError("no")));
  Its("main").OnInfer(Fails(absl::InvalidArgumentError("no")));
  EXPECT_EQ(Infer("main").status, 400);
  WaitFor([&] { return Shadows("agreed") == 1; }, "the copy");
}

TEST_F(ShadowTest, NobodyWaitsForItAndWhatHasNoRoomIsSkipped) {
  AddPair();
  Publish();
  Its("next").HoldInferUntilCancelled();
  // Copies have half of the endpoint's room, at first 128 calls a worker, and callers some of that.
  std::vector<std::unique_ptr<http::RawPeer>> callers;
  for (int i = 0; i < 10; ++i) {
    callers.push_back(std::make_unique<http::RawPeer>(gateway_->address()));
    callers.back()->Send(Render("POST", "/v2/models/next/infer", key_, InferBody()));
  }
  WaitFor([&] { return Calls("next") == 10; }, "the callers");
  for (int i = 0; i < 80; ++i) EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Calls("next") == 64; }, "the copies");
  WaitFor([&] { return Shadows("skipped") == 26; }, "those that were not made");
}

TEST_F(ShadowTest, CallsOfLowerPriorityAreTurnedAwayFirst) {
  AddPair();
  Publish();
  Its("next").HoldInferUntilCancelled();
  // Copies take the half of the room that is for what is not urgent.
  for (int i = 0; i < 64; ++i) EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Calls("next") == 64; }, "the copies");
  Its("next").HoldInferUntilCancelled(false);
  const auto status = [&](const std::string& parameters) {
    const std::string body =
        fmt::format(R"({{"parameters":{{{}}},"inputs":[{{"name":"x","shape":[1,1],)"
                    R"("datatype":"FP32","data":[1]}}]}})",
                    parameters);
    return Ask("POST", "/v2/models/next/infer", key_, body).status;
  };
  EXPECT_EQ(status(R"("priority":2)"), 503);
  EXPECT_EQ(status(R"("priority":1)"), 200);
  EXPECT_EQ(status(""), 200);
}

TEST_F(ShadowTest, WithoutAWorkerItIsSkipped) {
  AddPair(/*workers=*/0);
  Publish();
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Shadows("skipped") == 1; }, "the count");
}

TEST_F(ShadowTest, AnotherVersionOfTheSameDeploymentMayBeOne) {
  auto& route = Add("main");
  route.mutable_targets(0)->set_weight(100);
  auto& green = *route.add_targets();
  green = route.targets(0);
  green.set_model_version("tenants/acme/models/m/versions/2");
  green.set_weight(0);
  auto& shadow = *route.mutable_routing()->mutable_shadow();
  shadow.set_deployment(Name("main"));
  shadow.set_version("2");
  shadow.set_percent(100);
  Publish();
  EXPECT_EQ(json::parse(Infer("main").body)["model_version"], "1");
  WaitFor([&] { return Shadows("agreed") == 1; }, "the copy");
  EXPECT_EQ(Its("main").requests().back().model_version(), "2");
}

TEST_F(ShadowTest, TheControllerIsToldWhatBecameOfThem) {
  Mutex mutex;
  controller::v1::ReportTrafficRequest::Shadow told;
  platform_->On("ControllerService/ReportTraffic", [&](const google::protobuf::Message& message) {
    const auto& report = dynamic_cast<const controller::v1::ReportTrafficRequest&>(message);
    MutexLock lock(mutex);
    for (const auto& shadow : report.shadows()) {
      EXPECT_EQ(shadow.deployment(), Name("main"));
      told.set_agreed(told.agreed() + shadow.agreed());
      for (const int64_t bucket : shadow.latency()) told.set_failed(told.failed() + bucket);
    }
    FakePlatform::Reply reply;
    reply.messages.push_back(std::make_shared<google::protobuf::Empty>());
    return reply;
  });
  AddPair();
  Publish();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Infer("main").status, 200);
  WaitFor(
      [&] {
        MutexLock lock(mutex);
        return told.agreed() == 3 && told.failed() == 3;
      },
      "the report");
}

TEST_F(ShadowTest, SequencesAreNotCopied) {
  AddPair();
  Publish();
  const std::string step = R"({"parameters":{"sequence_id":7,"sequence_start":true},"inputs":[)"
                           R"({"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]})";
  EXPECT_EQ(Ask("POST", "/v2/models/main/infer", key_, step).status, 200);
  EXPECT_EQ(Infer("main").status, 200);
  WaitFor([&] { return Shadows("agreed") == 1; }, "the other call's copy");
  EXPECT_EQ(Calls("next"), 1u);
}

}  // namespace
}  // namespace slipway::gateway
