#include "common/grpc/edge.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "common/fields/json.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "inference/open_inference.pb.h"
#include "nlohmann/json.hpp"
#include "tests/integration/grpc/test_controller.h"

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr char kInference[] = "inference.GRPCInferenceService";

class ServiceEdgeTest : public ControllerFixture, public ::testing::WithParamInterface<Library> {
 protected:
  ServiceEdgeTest() : ControllerFixture(GetParam()) {}

  // The lines of the log, each as JSON.
  std::vector<json> LogLines() const {
    std::vector<json> lines;
    std::istringstream text(LogText());
    for (std::string line; std::getline(text, line);) lines.push_back(*ParseJson(line, "line"));
    return lines;
  }
  std::string Count(const std::string& method, const std::string& code) const {
    const std::string key = "slipway_controller_grpc_calls_total{code=\"" + code +
                            "\",method=\"ControllerService/" + method + "\"} ";
    const std::string text = metrics_.Text();
    const size_t at = text.find(key);
    if (at == std::string::npos) return "none";
    return text.substr(at + key.size(), text.find('\n', at) - at - key.size());
  }
};

INSTANTIATE_TEST_SUITE_P(BothLibraries, ServiceEdgeTest, kBothLibraries,
                         ::testing::PrintToStringParamName());

TEST_P(ServiceEdgeTest, RunsTheHandlerForWhoeverCalls) {
  Principal seen;
  std::string request_id;
  Handle([&](const CallContext& call) {
    seen = call.principal;
    request_id = call.request_id;
    return absl::OkStatus();
  });
  const CallResult result = Get({.token = token_, .request_id = "abc-1"});
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.name, "tenants/acme/deployments/d");
  EXPECT_EQ(seen.tenant, "acme");
  EXPECT_EQ(seen.role, Role::kOwner);
  EXPECT_EQ(seen.caller, ServiceId::kGateway);
  EXPECT_EQ(request_id, "abc-1");
}

TEST_P(ServiceEdgeTest, OverloadIsToldAFewTimesASecondAndCounted) {
  constexpr size_t kCalls = 500;
  Handle([](const CallContext&) { return absl::UnavailableError("busy"); });
  for (size_t i = 0; i < kCalls; ++i) {
    EXPECT_TRUE(absl::IsUnavailable(Get({.token = token_}).status));
  }
  EXPECT_EQ(Count("GetDeployment", "UNAVAILABLE"), std::to_string(kCalls));
  EXPECT_GE(LogLines().size(), 10u);
  EXPECT_LT(LogLines().size(), kCalls / 2);
}

TEST_P(ServiceEdgeTest, RefusesBeforeTheHandlerRuns) {
  bool ran = false;
  Handle([&](const CallContext&) {
    ran = true;
    return absl::OkStatus();
  });
  EXPECT_EQ(Get({}).status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Get({.token = "garbage"}).status.code(), absl::StatusCode::kUnauthenticated);
  const std::string from_training =
      trust_.Token(TestTrust::AnyPrincipal(ServiceId::kTraining), ServiceId::kController);
  const absl::Status refused = Get({.token = from_training}).status;
  EXPECT_EQ(refused, absl::PermissionDeniedError("training may not call GetDeployment"));
  EXPECT_FALSE(ran);
}

TEST_P(ServiceEdgeTest, MakesARequestIdWhereNoneThatIsOneCame) {
  std::string request_id;
  Handle([&](const CallContext& call) {
    request_id = call.request_id;
    return absl::OkStatus();
  });
  for (const char* sent : {"", "two words"}) {
    ASSERT_TRUE(Get({.token = token_, .request_id = sent}).status.ok());
    EXPECT_THAT(request_id, MatchesRegex("[0-9a-f]{32}")) << sent;
  }
}

TEST_P(ServiceEdgeTest, HandsTheDeadlineDown) {
  absl::Time deadline;
  Handle([&](const CallContext& call) {
    deadline = call.deadline;
    return absl::OkStatus();
  });
  const auto left = [&] { return deadline - Clock::Real().Now(); };
  ASSERT_TRUE(Get({.token = token_, .timeout = absl::Seconds(500)}).status.ok());
  EXPECT_GT(left(), absl::Seconds(480));
  EXPECT_LE(left(), absl::Seconds(501));

  ASSERT_TRUE(Get({.token = token_, .timeout = absl::InfiniteDuration()}).status.ok());
  EXPECT_GT(left(), ServiceEdge::kDefaultDeadline - absl::Seconds(20));
  EXPECT_LE(left(), ServiceEdge::kDefaultDeadline);

  ASSERT_TRUE(Watch({.token = token_, .timeout = absl::InfiniteDuration()}).ok());
  EXPECT_EQ(deadline, absl::InfiniteFuture());
}

TEST_P(ServiceEdgeTest, KeepsWhatAnErrorSays) {
  Handle([](const CallContext&) { return InvalidField("name", "must look like x"); });
  const absl::Status status = Get().status;
  EXPECT_EQ(status, InvalidField("name", "must look like x"));
  EXPECT_EQ(FieldOf(status), "name");
  Handle([](const CallContext&) { return StorageFull("/data"); });
  EXPECT_TRUE(IsStorageFull(Get().status));
}

TEST_P(ServiceEdgeTest, TellsTheLogAndNotTheCallerWhatWentWrongInside) {
  for (const auto code :
       {absl::StatusCode::kInternal, absl::StatusCode::kUnknown, absl::StatusCode::kDataLoss}) {
    Handle(
        [&](const CallContext&) { return absl::Status(code, "table jobs at /var/lib/x broke"); });
    const absl::Status status = Get({.token = token_, .request_id = "find-me"}).status;
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("find-me"), Not(HasSubstr("/var/lib"))));
    const json line = LogLines().back();
    EXPECT_EQ(line["level"], "error");
    EXPECT_EQ(line["message"], "table jobs at /var/lib/x broke");
    EXPECT_EQ(line["request_id"], "find-me");
  }
}

TEST_P(ServiceEdgeTest, TurnsAnExceptionIntoAnInternalError) {
  Handle(
      [](const CallContext&) -> absl::Status { throw std::runtime_error("secret of the house"); });
  const absl::Status status = Get().status;
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
  EXPECT_THAT(LogLines().back()["message"].get<std::string>(), HasSubstr("secret of the house"));
  EXPECT_TRUE((Handle(nullptr), Get().status.ok())) << "the server goes on";
}

TEST_P(ServiceEdgeTest, LogsEachFailureWithWhoAndWhat) {
  Handle([](const CallContext&) { return NotFound("tenants/acme/deployments/d"); });
  Get().status.IgnoreError();
  json line = LogLines().back();
  EXPECT_GE(line["duration_seconds"].get<double>(), 0);
  line.erase("duration_seconds");
  line.erase("time");
  EXPECT_EQ(line, json::parse(R"({"level":"info","service":"controller","event":"call_failed",
      "method":"ControllerService/GetDeployment","request_id":"req-1","tenant":"acme",
      "caller":"gateway","code":"NOT_FOUND",
      "message":"tenants/acme/deployments/d was not found"})"));
  Get({.token = "garbage"}).status.IgnoreError();
  line = LogLines().back();
  EXPECT_EQ(line["event"], "call_refused");
  EXPECT_EQ(line["level"], "warning");
  EXPECT_THAT(LogText(), Not(HasSubstr("garbage"))) << "what may be a token is not logged";
}

TEST_P(ServiceEdgeTest, LogsNothingForACallThatSucceeds) {
  const size_t before = LogLines().size();
  ASSERT_TRUE(Get().status.ok());
  EXPECT_EQ(LogLines().size(), before);
}

TEST_P(ServiceEdgeTest, CountsEveryCallByMethodAndCode) {
  EXPECT_EQ(Count("GetDeployment", "OK"), "0");
  Get().status.IgnoreError();
  Get().status.IgnoreError();
  Get({}).status.IgnoreError();
  Handle([](const CallContext&) { return absl::AbortedError("x"); });
  Get().status.IgnoreError();
  EXPECT_EQ(Count("GetDeployment", "OK"), "2");
  EXPECT_EQ(Count("GetDeployment", "UNAUTHENTICATED"), "1");
  EXPECT_EQ(Count("GetDeployment", "ABORTED"), "1");
  EXPECT_EQ(Count("WatchRoutes", "OK"), "0");
  EXPECT_THAT(metrics_.Text(), HasSubstr("slipway_controller_grpc_call_duration_seconds_count{"
                                         "method=\"ControllerService/GetDeployment\"} 4\n"));
}

TEST_P(ServiceEdgeTest, IsRefusedToAServiceThatDeclaresNoCallers) {
  ASSERT_NE(inference::ModelInferRequest::descriptor(), nullptr);  // its proto is linked in
  const auto edge = ServiceEdge::Create(kInference, *verifier_, metrics_, Clock::Real());
  EXPECT_EQ(edge.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(edge.status().message()),
              HasSubstr("GRPCInferenceService.ServerLive declares no "
                        "(slipway.options.v1.internal).callers"));
  EXPECT_EQ(
      ServiceEdge::Create("slipway.NoService", *verifier_, metrics_, Clock::Real()).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_P(ServiceEdgeTest, TakesATableForAProtoThatIsNotOursIfItIsWhole) {
  const google::protobuf::ServiceDescriptor& service =
      *inference::ModelInferRequest::descriptor()->file()->FindServiceByName(
          "GRPCInferenceService");
  const google::protobuf::MethodDescriptor& infer = *service.FindMethodByName("ModelInfer");
  std::vector<MethodPolicy> policies;
  for (int i = 0; i < service.method_count(); ++i) {
    if (i != infer.index()) policies.push_back({service.method(i)->name(), {ServiceId::kGateway}});
  }
  const auto create = [&] {
    return ServiceEdge::CreateWithPolicies(kInference, policies, *verifier_, metrics_,
                                           Clock::Real());
  };
  EXPECT_THAT(std::string(create().status().message()),
              HasSubstr("ModelInfer is given no callers"));
  policies.push_back({"ModelInfer", {}});
  EXPECT_FALSE(create().ok());
  policies.back().callers = {ServiceId::kNone};
  EXPECT_FALSE(create().ok());
  policies.back().callers = {ServiceId::kGateway};
  ASSERT_TRUE(create().ok()) << create().status();
  EXPECT_EQ((*create())->MethodIndex("ModelInfer"), infer.index());
  policies.push_back({"ModelInfr", {ServiceId::kGateway}});
  EXPECT_THAT(std::string(create().status().message()), HasSubstr("ModelInfr is no method"));
}

TEST_P(ServiceEdgeTest, KnowsItsMethodsByName) {
  EXPECT_EQ(edge_->MethodIndex("CreateDeployment"), 0);
  EXPECT_EQ(edge_->MethodIndex("WatchRoutes"), 8);
}

}  // namespace
}  // namespace slipway
