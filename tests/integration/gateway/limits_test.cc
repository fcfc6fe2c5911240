// Limits at the doors: who is refused and how, what counts, and what comes back.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "inference/open_inference.grpc.pb.h"
#include "services/gateway/identity/api_key.h"
#include "tests/integration/gateway/oip_fixture.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;

class LimitsTest : public OipTest {
 protected:
  json SetLimits(const std::string& body, const std::string& subject = "tenants/acme",
                 int status = 200) {
    return AskJson("PUT", fmt::format("/api/v1/{}/limits", subject), operator_key_, body, status);
  }
  std::string KeySubject() const {
    return fmt::format("tenants/acme/keys/{}", std::string(*KeyIdOf(key_)));
  }
  void SetPrice(const std::string& body) {
    AskJson("PUT", "/api/v1/prices/p", operator_key_, body);
  }

  /// By a prediction, which counts as well.
  int64_t Remaining() {
    const Answer answer = Infer(InferBody());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return std::stoll(std::string(answer.headers.Get("x-ratelimit-remaining-requests")));
  }
  int64_t RequestsOf(const std::function<void()>& what) {
    const int64_t before = Remaining();
    what();
    return before - Remaining() - 1;
  }

  std::shared_ptr<grpc::Channel> Dial() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel(gateway_->address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  void Prepare(grpc::ClientContext& context) const {
    context.AddMetadata("authorization", "Bearer " + key_);
    context.set_deadline(absl::ToChronoTime(Clock::Real().Now() + absl::Seconds(30)));
  }
  static inference::ModelInferRequest GrpcRequest(int64_t rows = 1) {
    inference::ModelInferRequest request;
    request.set_model_name("digits");
    auto& input = *request.add_inputs();
    input.set_name("x");
    input.set_datatype("FP32");
    input.add_shape(rows);
    input.add_shape(2);
    request.add_raw_input_contents(std::string(static_cast<size_t>(rows) * 8, '\0'));
    return request;
  }
};

TEST_F(LimitsTest, PassesTheLimitAndThenRefusesInTheFormOfEachDoor) {
  SetLimits(R"({"requestsPerMinute":2})");
  const Answer first = Infer(InferBody());
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.headers.Get("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(first.headers.Get("x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(Ask("GET", "/api/v1/platform", key_).headers.Get("x-ratelimit-remaining-requests"),
            "0");

  const Answer protocol = Infer(InferBody());
  EXPECT_EQ(protocol.status, 429);
  EXPECT_EQ(protocol.body, R"({"error":"tenants/acme may make 2 requests a minute"})");
  EXPECT_EQ(protocol.headers.Get("x-ratelimit-remaining-requests"), "0");
  const int wait = std::stoi(std::string(protocol.headers.Get("retry-after")));
  EXPECT_GE(wait, 1);
  EXPECT_LE(wait, 60);
  EXPECT_EQ(protocol.headers.All("retry-after").size(), 1u);
  EXPECT_THAT(worker_->requests(), ::testing::SizeIs(1));

  const Answer api = Ask("GET", "/api/v1/platform", key_);
  EXPECT_EQ(api.status, 429);
  EXPECT_EQ(json::parse(api.body)["error"]["code"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(api.headers.Get("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(Ask("GET", "/v2/models/digits", key_).status, 429);

  const auto stub = inference::GRPCInferenceService::NewStub(Dial());
  grpc::ClientContext context;
  Prepare(context);
  inference::ModelInferResponse response;
  const grpc::Status status = stub->ModelInfer(&context, GrpcRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "tenants/acme may make 2 requests a minute");
  const auto& trailers = context.GetServerTrailingMetadata();
  EXPECT_EQ(trailers.find("x-ratelimit-limit-requests")->second, "2");
  EXPECT_NE(trailers.find("retry-after"), trailers.end());
  // Nobody else is held up by it.
  EXPECT_EQ(Ask("GET", "/api/v1/platform", operator_key_).status, 200);
}

TEST_F(LimitsTest, AStreamSaysWhatIsLeftAndGoesOnAfterARefusal) {
  SetLimits(R"({"requestsPerMinute":2})");
  const auto stub = inference::GRPCInferenceService::NewStub(Dial());
  grpc::ClientContext context;
  Prepare(context);
  const auto stream = stub->ModelStreamInfer(&context);
  for (const char* id : {"a", "b", "c", "d"}) {
    auto request = GrpcRequest();
    request.set_id(id);
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.error_message(), "");
    EXPECT_EQ(response.infer_response().id(), id);
  }
  for (const char* id : {"c", "d"}) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.error_message(), "tenants/acme may make 2 requests a minute");
    EXPECT_EQ(response.infer_response().id(), id);
    const auto& said = response.infer_response().parameters();
    ASSERT_TRUE(said.contains("retry-after"));
    EXPECT_GE(std::stoi(said.at("retry-after").string_param()), 1);
    EXPECT_EQ(said.at("x-ratelimit-remaining-requests").string_param(), "0");
  }
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  const auto& head = context.GetServerInitialMetadata();
  EXPECT_EQ(head.find("x-ratelimit-limit-requests")->second, "2");
  EXPECT_EQ(head.find("x-ratelimit-remaining-requests")->second, "1");
  const auto& trailers = context.GetServerTrailingMetadata();
  ASSERT_EQ(trailers.count("x-ratelimit-remaining-requests"), 1u);
  EXPECT_EQ(trailers.find("x-ratelimit-remaining-requests")->second, "0");
  EXPECT_EQ(trailers.count("retry-after"), 0u) << "the stream itself was not refused";
  EXPECT_THAT(worker_->requests(), ::testing::SizeIs(2));
}

TEST_F(LimitsTest, AStreamOfAKeyWithoutLimitsSaysNothingOfThem) {
  const auto stub = inference::GRPCInferenceService::NewStub(Dial());
  grpc::ClientContext context;
  Prepare(context);
  const auto stream = stub->ModelStreamInfer(&context);
  ASSERT_TRUE(stream->Write(GrpcRequest()));
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(context.GetServerInitialMetadata().count("x-ratelimit-limit-requests"), 0u);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("x-ratelimit-limit-requests"), 0u);
}

TEST_F(LimitsTest, RefusalsAreInTheAuditLogByKeyAndReasonAndExplained) {
  SetLimits(R"({"requestsPerMinute":1,"tokensPerMinute":1000})");
  SetLimits(R"({"tokensPerMinute":5})", KeySubject());
  std::string body = InferBody();
  body.replace(body.find("[1,2]"), 5, "[9,2]");
  body.replace(body.find("[1.5,2]"), 7, "[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9]");
  EXPECT_EQ(Infer(body).status, 429);  // takes no request
  EXPECT_EQ(Infer(InferBody()).status, 200);
  const Answer first = Ask("GET", "/api/v1/platform", key_);
  EXPECT_EQ(first.status, 429);
  for (const char* path : {"/v1/models", "/v1/files", "/v2/models/digits"}) {
    EXPECT_EQ(Ask("GET", path, key_).status, 429) << path;
  }
  const auto stub = inference::GRPCInferenceService::NewStub(Dial());
  grpc::ClientContext context;
  Prepare(context);
  inference::ModelInferResponse response;
  EXPECT_EQ(stub->ModelInfer(&context, GrpcRequest(), &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);

  const json rows = AskJson("GET", "/api/v1/audit?kind=REFUSALS", operator_key_)["auditRecords"];
  ASSERT_EQ(rows.size(), 2u) << rows.dump(1);
  EXPECT_EQ(rows[0]["reason"], "limit_requests");
  EXPECT_EQ(rows[0]["method"], "GET /api/v1/platform");
  EXPECT_EQ(rows[0]["requestId"], std::string(first.headers.Get("x-request-id")));
  EXPECT_EQ(rows[1]["reason"], "limit_tokens");
  EXPECT_EQ(rows[1]["method"], "POST /v2/models/digits/infer");
  for (const json& row : rows) {
    EXPECT_EQ(row["keyId"], std::string(*KeyIdOf(key_)));
    EXPECT_EQ(row["tenant"], "acme");
    EXPECT_EQ(row["httpCode"], 429);
    EXPECT_EQ(row["count"], "1");
  }
  EXPECT_EQ(
      AskJson("GET", "/api/v1/usage:explain?requestId=" + rows[0]["requestId"].get<std::string>(),
              operator_key_)["summary"],
      "refused with 429, not charged: limit_requests; 1 such in its minute");
  // The counts of a minute come when it is over, which it is for a gateway that ends.
  gateway_.reset();
  StartGateway();
  const json later = AskJson("GET", "/api/v1/audit?kind=REFUSALS", operator_key_)["auditRecords"];
  ASSERT_EQ(later.size(), 3u) << later.dump(1);
  EXPECT_EQ(later[0]["reason"], "limit_requests");
  EXPECT_EQ(later[0]["count"], "5");
}

TEST_F(LimitsTest, EveryRouteOfTheProtocolCountsOnceThroughBothDoors) {
  SetLimits(R"({"requestsPerMinute":1000000})");
  const std::vector<std::pair<const char*, const char*>> routes = {
      {"GET", "/v1/models"},
      {"GET", "/v1/models/digits"},
      {"GET", "/v2"},
      {"GET", "/v2/models/stats"},
      {"GET", "/v2/models/digits"},
      {"GET", "/v2/models/digits/versions/3"},
      {"GET", "/v2/models/digits/ready"},
      {"GET", "/v2/models/digits/config"},
      {"GET", "/v2/models/digits/stats"},
      {"POST", "/v2/models/digits/infer"},
      {"POST", "/v2/models/digits/versions/3/infer"},
      {"POST", "/v2/repository/index"},
  };
  for (const auto& [method, path] : routes) {
    const std::string body = std::string(path).ends_with("infer") ? InferBody() : "";
    EXPECT_EQ(RequestsOf([&, path = path, method = method] { Ask(method, path, key_, body); }), 1)
        << path;
  }

  const auto channel = Dial();
  const auto stub = inference::GRPCInferenceService::NewStub(channel);
  const auto& service = *inference::ModelInferRequest::descriptor()->file()->service(0);
  for (int i = 0; i < service.method_count(); ++i) {
    const std::string& name = service.method(i)->name();
    // Anybody may ask these; and of a stream each message is a call.
    const bool anonymous = name == "ServerLive" || name == "ServerReady";
    if (name == "ModelStreamInfer") continue;
    // The operator's: of anybody else they are refused before they come to anything.
    if (name == "RepositoryModelLoad" || name == "RepositoryModelUnload") continue;
    inference::ModelInferRequest request;
    request.set_model_name("digits");
    const std::string bytes = name == "ModelInfer"        ? GrpcRequest().SerializeAsString()
                              : name.starts_with("Model") ? request.SerializeAsString()
                                                          : std::string();
    const int64_t counted = RequestsOf([&] {
      grpc::GenericStub generic(channel);
      grpc::ClientContext context;
      Prepare(context);
      grpc::CompletionQueue queue;
      const grpc::Slice slice(bytes);
      const auto call = generic.PrepareUnaryCall(&context, "/" + service.full_name() + "/" + name,
                                                 grpc::ByteBuffer(&slice, 1), &queue);
      grpc::ByteBuffer answer;
      grpc::Status status;
      call->StartCall();
      call->Finish(&answer, &status, nullptr);
      void* tag;
      bool ok;
      queue.Next(&tag, &ok);
    });
    EXPECT_EQ(counted, anonymous ? 0 : 1) << name;
  }
  // Three messages of a stream.
  EXPECT_EQ(RequestsOf([&] {
              grpc::ClientContext context;
              Prepare(context);
              const auto stream = stub->ModelStreamInfer(&context);
              inference::ModelStreamInferResponse response;
              for (int i = 0; i < 3; ++i) {
                stream->Write(GrpcRequest());
                stream->Read(&response);
              }
              stream->WritesDone();
              EXPECT_TRUE(stream->Finish().ok());
            }),
            3);
}

TEST_F(LimitsTest, RowsOfTensorsAreTokensThroughBothDoors) {
  SetLimits(R"({"tokensPerMinute":10})");
  const std::string three =
      R"({"inputs":[{"name":"x","shape":[3,2],"datatype":"FP32","data":[1,2,3,4,5,6]}]})";
  const Answer answer = Infer(three);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.Get("x-ratelimit-remaining-tokens"), "7");
  const auto stub = inference::GRPCInferenceService::NewStub(Dial());
  inference::ModelInferResponse response;
  grpc::ClientContext fits;
  Prepare(fits);
  EXPECT_TRUE(stub->ModelInfer(&fits, GrpcRequest(6), &response).ok());
  EXPECT_EQ(fits.GetServerInitialMetadata().find("x-ratelimit-remaining-tokens")->second, "1");
  grpc::ClientContext too_many;
  Prepare(too_many);
  EXPECT_EQ(stub->ModelInfer(&too_many, GrpcRequest(2), &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Infer(three).status, 429);
  EXPECT_EQ(Infer(InferBody()).status, 200);
}

TEST_F(LimitsTest, APlaceIsFreeAgainWhenItsCallerLeaves) {
  SetLimits(R"({"concurrency":1})");
  worker_->HoldInferUntilCancelled();
  {
    http::RawPeer leaver(gateway_->address());
    leaver.Send(Render("POST", "/v2/models/digits/infer", key_, InferBody()));
    WaitFor([&] { return worker_->requests().size() == 1; }, "the first call");
    const Answer second = Infer(InferBody());
    EXPECT_EQ(second.status, 429);
    EXPECT_THAT(second.body, HasSubstr("may have 1 predictions under way at once"));
    EXPECT_EQ(second.headers.Get("retry-after"), "1");
    leaver.Reset();
  }
  WaitFor([&] { return worker_->cancelled() == 1; }, "the worker to be told");
  // One that is refused does not get as far as the worker.
  std::vector<std::unique_ptr<http::RawPeer>> next;
  WaitFor(
      [&] {
        next.push_back(std::make_unique<http::RawPeer>(gateway_->address()));
        next.back()->Send(Render("POST", "/v2/models/digits/infer", key_, InferBody()));
        return worker_->requests().size() >= 2;
      },
      "its place");
}

TEST_F(LimitsTest, WhatFailedByOurFaultIsNotCounted) {
  SetLimits(R"({"requestsPerMinute":1})");
  worker_->OnInfer([](const auto&, auto&) { return absl::InternalError("broken"); });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Infer(InferBody()).status, 500);
  worker_->OnInfer([](const auto&, auto&) { return absl::InvalidArgumentError("what is this?"); });
  EXPECT_EQ(Infer(InferBody()).status, 400);
  EXPECT_EQ(Infer(InferBody()).status, 429);
}

TEST_F(LimitsTest, ABudgetIsSpentByPriceAndItsRowsSayHow) {
  // The worker says that each call computes for 123 us.
  SetPrice(R"({"match":"tenants/*/deployments/digits","requestMicroUnits":"100",)"
           R"("computeSecondMicroUnits":"1000000","inputMillionMicroUnits":"7000000"})");
  SetLimits(R"({"budget":{"microUnits":"700","period":"DAY"}})");
  EXPECT_EQ(Infer(InferBody()).status, 200);
  EXPECT_EQ(Records()[0]["units"], "230");
  EXPECT_EQ(Infer(InferBody()).status, 200);
  EXPECT_EQ(Infer(InferBody()).status, 200);
  const Answer refused = Infer(InferBody());
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.Get("x-should-retry"), "false");
  EXPECT_THAT(refused.body, HasSubstr("has used its budget of 0.0007 units"));
  WaitFor(
      [&] { return AskJson("GET", "/api/v1/tenants/-/limits", key_)["spentMicroUnits"] == "690"; },
      "what was spent");
}

TEST_F(LimitsTest, OperatorsSetATenantsLimitsAndOwnersTheirKeysWithin) {
  const json set =
      SetLimits(R"({"requestsPerMinute":"100","budget":{"microUnits":"5000","period":"MONTH"}})");
  EXPECT_EQ(set["name"], "tenants/acme/limits");
  EXPECT_EQ(set["requestsPerMinute"], "100");
  const json seen = AskJson("GET", "/api/v1/tenants/-/limits", key_);
  EXPECT_EQ(seen["budget"]["microUnits"], "5000");
  EXPECT_EQ(Ask("PUT", "/api/v1/tenants/acme/limits", key_, "{}").status, 403);

  const std::string path = fmt::format("/api/v1/{}/limits", KeySubject());
  const json over = AskJson("PUT", path, key_, R"({"requestsPerMinute":101})", 400);
  EXPECT_EQ(over["error"]["field"], "limits.requestsPerMinute");
  EXPECT_EQ(AskJson("PUT", path, key_, R"({"requestsPerMinute":2})")["requestsPerMinute"], "2");
  EXPECT_EQ(Ask("GET", path, key_).headers.Get("x-ratelimit-limit-requests"), "2");
  AskJson("PUT", "/api/v1/tenants/acme/keys/thing/limits", operator_key_, "{}", 404);

  EXPECT_EQ(SetLimits(R"({"tokensPerMinute":-1})", "tenants/acme", 400)["error"]["field"],
            "limits.tokensPerMinute");
  EXPECT_EQ(SetLimits(R"({"budget":{"microUnits":1}})", "tenants/acme", 400)["error"]["field"],
            "limits.budget.period");
}

TEST_F(LimitsTest, LimitsOutliveARestart) {
  SetLimits(R"({"requestsPerMinute":1})");
  EXPECT_EQ(Infer(InferBody()).status, 200);
  gateway_.reset();
  StartGateway();
  // And so does what was used of them.
  EXPECT_EQ(Ask("GET", "/api/v1/platform", key_).status, 429);
}

}  // namespace
}  // namespace slipway::gateway
