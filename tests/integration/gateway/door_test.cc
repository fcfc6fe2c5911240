// What happens to every request at the door, whatever it asks for: who it is from, what a browser
// is told, and what is left of it in the log and in traces.
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "common/log/log.h"
#include "services/gateway/identity/api_key.h"
#include "tests/integration/gateway/oip_fixture.h"
#include "tests/integration/http/http2_peer.h"
#include "tests/support/otlp_collector.h"

namespace slipway::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class ProxyTest : public OipTest {
 protected:
  ProxyTest() { config_.trusted_proxies = {"127.0.0.0/8"}; }
};

TEST_F(ProxyTest, TheAuditNamesTheCallerBehindATrustedProxy) {
  EXPECT_EQ(Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, "{}",
                "X-Forwarded-For: 203.0.113.5, 192.0.2.7\r\n")
                .status,
            200);
  const json records = AskJson("GET", "/api/v1/tenants/-/auditRecords", key_)["auditRecords"];
  ASSERT_GE(records.size(), 1u);
  EXPECT_EQ(records[0]["peerAddress"], "192.0.2.7");
}

TEST_F(OipTest, TheAuditBelievesNobodyElse) {
  Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, "{}", "X-Forwarded-For: 192.0.2.7\r\n");
  const json records = AskJson("GET", "/api/v1/tenants/-/auditRecords", key_)["auditRecords"];
  ASSERT_GE(records.size(), 1u);
  EXPECT_EQ(records[0]["peerAddress"], "127.0.0.1");
}

constexpr char kPage[] = "Origin: https://app.example.com\r\n";
constexpr char kPreflight[] =
    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";

class CorsTest : public OipTest {
 protected:
  CorsTest() { config_.cors_origins = {"https://app.example.com", "http://localhost:3000"}; }
};

TEST_F(CorsTest, TellsABrowserWhatAPageMaySend) {
  const Answer answer =
      Ask("OPTIONS", "/v2/models/digits/infer", "", "", std::string(kPage) + kPreflight);
  EXPECT_EQ(answer.status, 204);
  EXPECT_THAT(answer.headers.All("access-control-allow-origin"),
              ElementsAre("https://app.example.com"));
  EXPECT_THAT(std::string(answer.headers.Get("access-control-allow-methods")), HasSubstr("POST"));
  EXPECT_THAT(std::string(answer.headers.Get("access-control-allow-headers")),
              HasSubstr("authorization"));
  EXPECT_EQ(answer.headers.Get("vary"), "origin");
}

TEST_F(CorsTest, LetsAPageReadAnswersAndRefusals) {
  const std::string body = InferBody();
  const Answer answer = Ask("POST", "/v2/models/digits/infer", key_, body, kPage);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.Get("access-control-allow-origin"), "https://app.example.com");
  EXPECT_EQ(answer.headers.Get("access-control-expose-headers"), "*");
  const Answer no_key = Ask("GET", "/api/v1/platform", "", "", kPage);
  EXPECT_EQ(no_key.status, 401);
  EXPECT_EQ(no_key.headers.Get("access-control-allow-origin"), "https://app.example.com");
  // The listener's own.
  const Answer large =
      Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, std::string(5 << 20, ' '), kPage);
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(large.headers.Get("access-control-allow-origin"), "https://app.example.com");
  EXPECT_FALSE(answer.headers.Has("access-control-allow-credentials"));
}

TEST_F(CorsTest, AllowsNoOtherPage) {
  for (const char* origin : {"https://evil.example.com", "https://app.example.com.evil.com",
                             "http://app.example.com", "null", ""}) {
    const std::string header = fmt::format("Origin: {}\r\n", origin);
    const Answer preflight = Ask("OPTIONS", "/v2", "", "", header + kPreflight);
    EXPECT_EQ(preflight.status, 204);
    EXPECT_FALSE(preflight.headers.Has("access-control-allow-origin")) << origin;
    EXPECT_FALSE(preflight.headers.Has("access-control-allow-methods")) << origin;
    const Answer answer = Ask("GET", "/v2", key_, "", header);
    EXPECT_EQ(answer.status, 200);
    EXPECT_FALSE(answer.headers.Has("access-control-allow-origin")) << origin;
    EXPECT_EQ(answer.headers.Get("vary"), "origin");
  }
}

TEST_F(OipTest, PagesAreAllowedNothingByDefault) {
  const Answer preflight = Ask("OPTIONS", "/v2", "", "", std::string(kPage) + kPreflight);
  EXPECT_EQ(preflight.status, 401);
  EXPECT_FALSE(preflight.headers.Has("access-control-allow-origin"));
  EXPECT_FALSE(Ask("GET", "/v2", key_, "", kPage).headers.Has("access-control-allow-origin"));
}

class AnyOriginTest : public OipTest {
 protected:
  AnyOriginTest() { config_.cors_origins = {"*"}; }
};

TEST_F(AnyOriginTest, AllowsEveryPageWithoutCredentials) {
  const Answer answer = Ask("GET", "/v2", key_, "", kPage);
  EXPECT_EQ(answer.headers.Get("access-control-allow-origin"), "*");
  EXPECT_FALSE(answer.headers.Has("access-control-allow-credentials"));
}

class AccessLogTest : public OipTest {
 protected:
  AccessLogTest() { config_.access_log = true; }
  ~AccessLogTest() override { EXPECT_TRUE(InitLogging("test", LogConfig()).ok()); }

  void SetUp() override {
    OipTest::SetUp();
    LogConfig log;
    log.file = folder_ / "log.jsonl";
    ASSERT_TRUE(InitLogging("gateway", log).ok());
  }

  /// The line of the request that this was the answer to.
  json LineOf(const http::Headers& answer) {
    json found;
    WaitFor(
        [&] {
          std::istringstream text(ReadFile(folder_ / "log.jsonl").value_or(""));
          for (std::string line; std::getline(text, line);) {
            json event = json::parse(line, nullptr, false);
            if (event.value("event", "") == "request_answered" &&
                event["request_id"] == answer.Get("x-request-id")) {
              EXPECT_TRUE(found.is_null()) << "a request has one line";
              found = std::move(event);
            }
          }
          return !found.is_null();
        },
        "a line of the access log");
    return found;
  }
};

TEST_F(AccessLogTest, SaysOfEachRequestWhoAskedWhatAndHowItEnded) {
  const std::string body = InferBody();
  const Answer answer = Ask("POST", "/v2/models/digits/infer?secret=1", key_, body);
  ASSERT_EQ(answer.status, 200);
  const json line = LineOf(answer.headers);
  EXPECT_EQ(line["tenant"], "acme");
  EXPECT_EQ(line["key_id"], std::string(*KeyIdOf(key_)));
  EXPECT_EQ(line["model"], "digits");
  EXPECT_EQ(line["peer"], "127.0.0.1");
  EXPECT_EQ(line["protocol"], "1.1");
  EXPECT_EQ(line["method"], "POST");
  EXPECT_EQ(line["path"], "/v2/models/digits/infer");
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["bytes_in"], body.size());
  EXPECT_EQ(line["bytes_out"], answer.body.size());
  EXPECT_GT(line["seconds"], 0.0);
  EXPECT_LE(line["first_byte_seconds"], line["seconds"]);
  EXPECT_EQ(line["trace_id"], "");
}

TEST_F(AccessLogTest, CountsRefusalsToo) {
  const Answer no_key = Ask("GET", "/v2", "slw_live_nonsense");
  ASSERT_EQ(no_key.status, 401);
  EXPECT_EQ(LineOf(no_key.headers)["status"], 401);
  EXPECT_EQ(LineOf(no_key.headers)["tenant"], "");
  // The listener's own.
  const Answer large =
      Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, std::string(5 << 20, ' '));
  ASSERT_EQ(large.status, 413);
  EXPECT_EQ(LineOf(large.headers)["status"], 413);
  EXPECT_EQ(LineOf(large.headers)["tenant"], "acme");
  EXPECT_THAT(ReadFile(folder_ / "log.jsonl").value_or(""), Not(HasSubstr("nonsense")));
}

TEST_F(AccessLogTest, SaysHowACallOfGrpcEnded) {
  http::Http2Peer peer(gateway_->address());
  http::Headers fields = http::Http2Peer::Post("/inference.GRPCInferenceService/ModelReady");
  fields.Add("content-type", "application/grpc");
  fields.Add("te", "trailers");
  fields.Add("authorization", "Bearer " + key_);
  const auto answer = peer.Ask(1, fields, std::string(5, '\0'));  // an empty message
  EXPECT_EQ(answer.status, 200);
  const json line = LineOf(answer.headers);
  EXPECT_EQ(line["protocol"], "2");
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["grpc_status"], 5) << "no model has no name";
  EXPECT_EQ(line["tenant"], "acme");
}

class TracingTest : public OipTest {
 protected:
  TracingTest() {
    config_.tracing.endpoint = collector_.url();
    config_.tracing.interval = absl::Milliseconds(1);
  }

  /// The requests' spans of predictions, once there is one.
  json RequestSpan() {
    std::vector<json> found;
    WaitFor(
        [&] {
          found.clear();
          for (const json& span : collector_.Spans("gateway.request")) {
            if (AttributesOf(span)["url.path"] == "/v2/models/digits/infer") found.push_back(span);
          }
          return !found.empty() && !collector_.Spans("worker.call").empty();
        },
        "the spans");
    return found.empty() ? json() : found[0];
  }

  OtlpCollector collector_;
};

TEST_F(TracingTest, AWorkersCallIsAStepOfTheRequest) {
  const Answer answer = Infer(InferBody());
  ASSERT_EQ(answer.status, 200);
  const json request = RequestSpan();
  EXPECT_EQ(request["service"], "slipway-gateway");
  const std::string id(answer.headers.Get("x-request-id"));
  EXPECT_EQ(request["traceId"], id) << "a trace that begins here has the request's id";
  EXPECT_FALSE(request.contains("parentSpanId"));
  EXPECT_EQ(request["kind"], 2);
  auto attributes = AttributesOf(request);
  EXPECT_EQ(attributes["http.request.method"], "POST");
  EXPECT_EQ(attributes["http.response.status_code"], "200");
  EXPECT_EQ(attributes["slipway.tenant"], "acme");
  EXPECT_EQ(attributes["slipway.key_id"], std::string(*KeyIdOf(key_)));
  EXPECT_EQ(attributes["slipway.model"], "digits");
  EXPECT_EQ(attributes["slipway.request_id"], id);

  const auto calls = collector_.Spans("worker.call");
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0]["traceId"], request["traceId"]);
  EXPECT_EQ(calls[0]["parentSpanId"], request["spanId"]);
  EXPECT_EQ(calls[0]["kind"], 3);
  EXPECT_EQ(AttributesOf(calls[0])["server.address"], worker_->address());
  EXPECT_LE(std::stoll(request["startTimeUnixNano"].get<std::string>()),
            std::stoll(calls[0]["startTimeUnixNano"].get<std::string>()));
  EXPECT_LE(std::stoll(calls[0]["startTimeUnixNano"].get<std::string>()),
            std::stoll(calls[0]["endTimeUnixNano"].get<std::string>()));
  // The worker is told whose step its work is.
  EXPECT_EQ(worker_->traceparents().back(),
            fmt::format("00-{}-{}-01", id, calls[0]["spanId"].get<std::string>()));
}

constexpr char kCallersTrace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";

TEST_F(TracingTest, GoesOnWithACallersTrace) {
  ASSERT_EQ(Ask("POST", "/v2/models/digits/infer", key_, InferBody(),
                fmt::format("traceparent: {}01\r\ntracestate: vendor=1\r\n", kCallersTrace))
                .status,
            200);
  const json request = RequestSpan();
  EXPECT_EQ(request["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(request["parentSpanId"], "00f067aa0ba902b7");
  EXPECT_EQ(request["traceState"], "vendor=1");
  EXPECT_THAT(worker_->traceparents().back(), HasSubstr("4bf92f3577b34da6a3ce929d0e0e4736"));
}

TEST_F(TracingTest, RecordsNothingOfATraceThatItsCallerDoesNotRecord) {
  const std::string not_sampled = fmt::format("{}00", kCallersTrace);
  ASSERT_EQ(Ask("POST", "/v2/models/digits/infer", key_, InferBody(),
                "traceparent: " + not_sampled + "\r\n")
                .status,
            200);
  EXPECT_EQ(worker_->traceparents().back(), not_sampled) << "and passes it on";
  ASSERT_EQ(Infer(InferBody()).status, 200);
  RequestSpan();
  EXPECT_THAT(collector_.Spans("worker.call"), SizeIs(1));
}

TEST_F(TracingTest, AFailedCallSaysWhy) {
  worker_->OnInfer([](const auto&, auto&) { return absl::InternalError("out of luck"); });
  EXPECT_EQ(Infer(InferBody()).status, 500);
  EXPECT_EQ(RequestSpan()["status"]["code"], 2);
  const auto calls = collector_.Spans("worker.call");
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0]["status"]["code"], 2);
  EXPECT_EQ(calls[0]["status"]["message"], "out of luck");
}

TEST_F(OipTest, WithoutTracingNothingIsPassedOn) {
  ASSERT_EQ(Ask("POST", "/v2/models/digits/infer", key_, InferBody(),
                fmt::format("traceparent: {}01\r\n", kCallersTrace))
                .status,
            200);
  EXPECT_THAT(worker_->traceparents().back(), IsEmpty());
}

TEST_F(GatewayTest, DoesNotStartWithAnEndpointThatIsNoUrl) {
  config_.tracing.endpoint = "collector:4318";
  Metrics metrics("gateway");
  const auto gateway = Gateway::Start(config_, metrics, Clock::Real());
  ASSERT_FALSE(gateway.ok());
  EXPECT_THAT(std::string(gateway.status().message()), HasSubstr("tracing.endpoint"));
}

class DeadCollectorTest : public OipTest {
 protected:
  // Nobody listens on the discard port.
  DeadCollectorTest() {
    config_.tracing.endpoint = "http://127.0.0.1:9";
    config_.tracing.interval = absl::Milliseconds(1);
  }
};

TEST_F(DeadCollectorTest, CallsGoOnWithoutACollector) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Infer(InferBody()).status, 200);
  WaitFor(
      [&] {
        return metrics_->Text().find("tracing_spans_dropped_total{reason=\"export_failed\"} 0") ==
               std::string::npos;
      },
      "the spans to be dropped");
}

}  // namespace
}  // namespace slipway::gateway
