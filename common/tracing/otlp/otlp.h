#ifndef SLIPWAY_COMMON_TRACING_OTLP_OTLP_H_
#define SLIPWAY_COMMON_TRACING_OTLP_OTLP_H_

#include <memory>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "common/tracing/tracer.h"

// OpenTelemetry's protocol over HTTP, in its JSON encoding: protobuf's JSON mapping of
// ExportTraceServiceRequest, but for ids, which are hex digits, and enums, which are numbers.
namespace slipway::tracing {

/// The program that spans are of.
struct Resource {
  std::string service;  ///< "slipway-gateway"
  std::string version;
};

/// The body of a request.
std::string OtlpJson(const std::vector<SpanRecord>& spans, const Resource& resource);

/// A tracer that posts spans to the collector that `config` names, at <endpoint>/v1/traces; each
/// batch once. Null where it names none. `metrics` and `clock` outlive it. Errors:
/// kInvalidArgument (the endpoint is no URL, the file cannot be read).
absl::StatusOr<std::unique_ptr<Tracer>> OpenTracer(const TracingConfig& config, Resource resource,
                                                   Metrics& metrics, const Clock& clock);

}  // namespace slipway::tracing

#endif  // SLIPWAY_COMMON_TRACING_OTLP_OTLP_H_
