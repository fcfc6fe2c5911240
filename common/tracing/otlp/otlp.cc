#include "common/tracing/otlp/otlp.h"

#include <cstdint>
#include <utility>
#include <variant>

#include "common/http/client/client.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::tracing {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr uint64_t kMaxAnswer = 1 << 20;
constexpr int kStatusError = 2;

// 64-bit integers are text in protobuf's JSON.
std::string Nanos(absl::Time time) { return std::to_string(absl::ToUnixNanos(time)); }

Json Attribute(const std::string& key, const SpanRecord::Value& value) {
  Json typed = Json::object();
  if (const auto* const text = std::get_if<std::string>(&value)) {
    typed["stringValue"] = *text;
  } else {
    typed["intValue"] = std::to_string(std::get<int64_t>(value));
  }
  return {{"key", key}, {"value", std::move(typed)}};
}

Json SpanJson(const SpanRecord& span) {
  Json json = {{"traceId", span.context.trace_id},
               {"spanId", span.context.span_id},
               {"name", span.name},
               {"kind", static_cast<int>(span.kind)},
               {"startTimeUnixNano", Nanos(span.start)},
               {"endTimeUnixNano", Nanos(span.end)}};
  if (!span.parent_span_id.empty()) json["parentSpanId"] = span.parent_span_id;
  if (!span.context.state.empty()) json["traceState"] = span.context.state;
  Json& attributes = json["attributes"] = Json::array();
  for (const auto& [key, value] : span.attributes) attributes.push_back(Attribute(key, value));
  for (const TraceContext& link : span.links) {
    Json& linked = json["links"].emplace_back();
    linked = {{"traceId", link.trace_id}, {"spanId", link.span_id}};
    if (!link.state.empty()) linked["traceState"] = link.state;
  }
  if (span.failed) json["status"] = {{"code", kStatusError}, {"message", span.error}};
  return json;
}

}  // namespace

std::string OtlpJson(const std::vector<SpanRecord>& spans, const Resource& resource) {
  Json list = Json::array();
  for (const SpanRecord& span : spans) list.push_back(SpanJson(span));
  const Json attributes = Json::array({Attribute("service.name", resource.service),
                                       Attribute("service.version", resource.version)});
  const Json scope = {{"scope", {{"name", "slipway"}}}, {"spans", std::move(list)}};
  const Json source = {{"resource", {{"attributes", attributes}}},
                       {"scopeSpans", Json::array({scope})}};
  const Json body = {{"resourceSpans", Json::array({source})}};
  // A caller's bytes may be no text.
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<std::unique_ptr<Tracer>> OpenTracer(const TracingConfig& config, Resource resource,
                                                   Metrics& metrics, const Clock& clock) {
  if (config.endpoint.empty()) return nullptr;
  absl::StatusOr<http::Client> client =
      http::Client::Create(config.endpoint, {.timeout = kPatience, .ca_file = config.ca_file});
  if (!client.ok()) return Annotate(client.status(), "tracing.endpoint");
  auto post = [client = *std::move(client), resource = std::move(resource)](
                  const std::vector<SpanRecord>& spans) -> absl::Status {
    ASSIGN_OR_RETURN(const http::Response answer,
                     client.Send({.method = "POST",
                                  .target = "/v1/traces",
                                  .headers = {{"content-type", "application/json"}},
                                  .body = OtlpJson(spans, resource)},
                                 kMaxAnswer));
    if (answer.status / 100 == 2) return absl::OkStatus();
    return absl::UnavailableError(fmt::format("the collector answered {}", answer.status));
  };
  return std::make_unique<Tracer>(config, std::move(post), metrics, clock);
}

}  // namespace slipway::tracing
