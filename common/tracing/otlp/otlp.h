#ifndef SLIPWAY_COMMON_TRACING_OTLP_OTLP_H_
#define SLIPWAY_COMMON_TRACING_OTLP_OTLP_H_

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

/// Posts spans to the collector that `config` names, at <endpoint>/v1/traces; each batch once.
/// Errors: kInvalidArgument (the endpoint is no URL, the file cannot be read).
absl::StatusOr<Tracer::Export> OtlpExport(const TracingConfig& config, Resource resource);

}  // namespace slipway::tracing

#endif  // SLIPWAY_COMMON_TRACING_OTLP_OTLP_H_
