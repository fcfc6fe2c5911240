#ifndef SLIPWAY_COMMON_TRACING_TRACE_CONTEXT_H_
#define SLIPWAY_COMMON_TRACING_TRACE_CONTEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace slipway::tracing {

inline constexpr char kTraceparent[] = "traceparent";
inline constexpr char kTracestate[] = "tracestate";

/// Which span of which trace someone speaks of, as it travels between programs (W3C Trace Context,
/// level 1). A value type.
struct TraceContext {
  std::string trace_id;  ///< 32 lower-case hex digits, not all zero.
  std::string span_id;   ///< 16 of them.
  bool sampled = false;  ///< Whether the trace is recorded.
  std::string state;     ///< What others have put into it; passed on as it is. May be empty.

  /// Nothing where `traceparent` is not well formed: the trace then begins anew. A `tracestate`
  /// over 512 characters is dropped, as the standard lets one do.
  static std::optional<TraceContext> Parse(std::string_view traceparent,
                                           std::string_view tracestate);

  std::string Traceparent() const;
};

}  // namespace slipway::tracing

#endif  // SLIPWAY_COMMON_TRACING_TRACE_CONTEXT_H_
