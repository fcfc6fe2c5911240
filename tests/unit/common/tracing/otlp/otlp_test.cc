#include "common/tracing/otlp/otlp.h"

#include <gmock/gmock.h>

#include "common/metrics/metrics.h"
#include "nlohmann/json.hpp"

namespace slipway::tracing {
namespace {

TEST(OtlpTest, WritesSpansAsTheProtocolHasThem) {
  SpanRecord span;
  span.name = "worker.call";
  span.kind = Kind::kClient;
  span.context = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true, "vendor=1"};
  span.parent_span_id = "b7ad6b7169203331";
  span.start = absl::FromUnixNanos(1'700'000'000'123'456'789);
  span.end = absl::FromUnixNanos(1'700'000'000'223'456'789);
  span.attributes = {{"server.address", "w1"}, {"slipway.attempt", int64_t{2}}};
  span.links = {{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203332", true, ""},
                {"0af7651916cd43dd8448eb211c80319d", "b7ad6b7169203333", true, "vendor=2"}};
  span.failed = true;
  span.error = "gone";
  SpanRecord root;
  root.name = "bytes that are no text: \xff";
  const auto body = nlohmann::json::parse(OtlpJson({span, root}, {"slipway-gateway", "1.2"}));

  EXPECT_EQ(body["resourceSpans"].size(), 1u);
  const auto& source = body["resourceSpans"][0];
  EXPECT_EQ(source["resource"]["attributes"], nlohmann::json::parse(R"([
    {"key": "service.name", "value": {"stringValue": "slipway-gateway"}},
    {"key": "service.version", "value": {"stringValue": "1.2"}}])"));
  ASSERT_EQ(source["scopeSpans"].size(), 1u);
  const auto& spans = source["scopeSpans"][0]["spans"];
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0], nlohmann::json::parse(R"({
    "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7",
    "parentSpanId": "b7ad6b7169203331", "traceState": "vendor=1",
    "name": "worker.call", "kind": 3,
    "startTimeUnixNano": "1700000000123456789", "endTimeUnixNano": "1700000000223456789",
    "attributes": [{"key": "server.address", "value": {"stringValue": "w1"}},
                   {"key": "slipway.attempt", "value": {"intValue": "2"}}],
    "links": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203332"},
              {"traceId": "0af7651916cd43dd8448eb211c80319d", "spanId": "b7ad6b7169203333",
               "traceState": "vendor=2"}],
    "status": {"code": 2, "message": "gone"}})"));
  EXPECT_FALSE(spans[1].contains("parentSpanId"));
  EXPECT_FALSE(spans[1].contains("links"));
  EXPECT_FALSE(spans[1].contains("status"));
}

TEST(OtlpTest, OpensNoTracerWithoutACollectorAndNoneThatIsNoUrl) {
  TracingConfig config;
  Metrics metrics("test");
  const auto off = OpenTracer(config, {}, metrics, Clock::Real());
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_EQ(*off, nullptr);
  config.endpoint = "collector:4318";
  const auto refused = OpenTracer(config, {}, metrics, Clock::Real());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("tracing.endpoint"));
}

}  // namespace
}  // namespace slipway::tracing
