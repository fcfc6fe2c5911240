#include "common/tracing/trace_context.h"

namespace slipway::tracing {
namespace {

constexpr size_t kTraceIdDigits = 32;
constexpr size_t kSpanIdDigits = 16;
// version-trace-span-flags
constexpr size_t kTraceAt = 3;
constexpr size_t kSpanAt = kTraceAt + kTraceIdDigits + 1;
constexpr size_t kFlagsAt = kSpanAt + kSpanIdDigits + 1;
constexpr size_t kSize = kFlagsAt + 2;
constexpr size_t kMaxState = 512;

bool IsHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

std::optional<TraceContext> TraceContext::Parse(std::string_view traceparent,
                                                std::string_view tracestate) {
  if (traceparent.size() < kSize) return std::nullopt;
  const std::string_view version = traceparent.substr(0, 2);
  const std::string_view trace = traceparent.substr(kTraceAt, kTraceIdDigits);
  const std::string_view span = traceparent.substr(kSpanAt, kSpanIdDigits);
  const std::string_view flags = traceparent.substr(kFlagsAt, 2);
  for (const size_t dash : {kTraceAt - 1, kSpanAt - 1, kFlagsAt - 1}) {
    if (traceparent[dash] != '-') return std::nullopt;
  }
  if (!IsHex(version) || version == "ff" || !IsHex(trace) || IsZero(trace) || !IsHex(span) ||
      IsZero(span) || !IsHex(flags)) {
    return std::nullopt;
  }
  // Versions to come may say more behind a dash.
  if (traceparent.size() > kSize && (version == "00" || traceparent[kSize] != '-')) {
    return std::nullopt;
  }
  TraceContext context;
  context.trace_id = trace;
  context.span_id = span;
  context.sampled = (HexDigit(flags[1]) & 1) != 0;
  if (tracestate.size() <= kMaxState) context.state = tracestate;
  return context;
}

std::string TraceContext::Traceparent() const {
  return "00-" + trace_id + "-" + span_id + (sampled ? "-01" : "-00");
}

}  // namespace slipway::tracing
