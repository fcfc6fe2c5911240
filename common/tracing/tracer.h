#ifndef SLIPWAY_COMMON_TRACING_TRACER_H_
#define SLIPWAY_COMMON_TRACING_TRACER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "common/tracing/trace_context.h"

namespace prometheus {
class Counter;
}

namespace slipway {
class Metrics;
}

namespace slipway::tracing {

/// Which side of a call a span is, by OpenTelemetry's numbers.
enum class Kind { kInternal = 1, kServer = 2, kClient = 3 };

/// A span that has ended.
struct SpanRecord {
  using Value = std::variant<std::string, int64_t>;

  std::string name;
  Kind kind = Kind::kInternal;
  TraceContext context;
  std::string parent_span_id;  ///< Empty for the first of a trace.
  absl::Time start;
  absl::Time end;
  std::vector<std::pair<std::string, Value>> attributes;
  std::vector<TraceContext> links;  ///< Steps, perhaps of other traces, that it has to do with.
  bool failed = false;
  std::string error;  ///< Where it failed, what is known of it.
};

class Tracer;

/// Some work, from its making to End(): one step of a trace. One that records nothing costs
/// nothing. One thread at a time. Its tracer outlives it.
class Span {
 public:
  /// Records nothing.
  Span() = default;
  Span(Span&&) noexcept = default;
  Span& operator=(Span&& other) noexcept;
  ~Span() { End(); }

  /// Whether anybody will see it: for attributes that cost something to make.
  bool recording() const { return state_ != nullptr && state_->record.context.sampled; }

  /// What a call that this work makes sends along. Null where there is no trace; one that is not
  /// sampled is passed on as it came.
  const TraceContext* context() const {
    return state_ == nullptr ? nullptr : &state_->record.context;
  }

  /// A step of this one that begins now, or began at `start`.
  Span Child(std::string_view name, Kind kind) const;
  Span Child(std::string_view name, Kind kind, absl::Time start) const;

  /// Texts are cut at 1 KB.
  void Set(std::string_view key, std::string_view value);
  void Set(std::string_view key, int64_t value);
  void Fail(std::string_view error);
  /// No more than 128.
  void Link(const Span& other);

  /// What is done to it later is void.
  void End();
  void End(absl::Time end);

 private:
  friend class Tracer;
  struct State {
    Tracer* tracer;
    SpanRecord record;
  };

  std::unique_ptr<State> state_;
};

/// Part of a service's config struct, as `tracing`.
struct TracingConfig {
  std::string endpoint;
  double sample_ratio = 1;
  std::string ca_file;
  int max_queue = 8192;
  int max_batch = 512;
  absl::Duration interval = absl::Seconds(1);

  template <class V>
  void Describe(V& v) {
    v.Field("endpoint", endpoint,
            "An OpenTelemetry collector, as http://collector:4318: spans go to its /v1/traces; "
            "empty: no tracing");
    v.Field("sample_ratio", sample_ratio,
            "How many of the traces that begin here are recorded; for others their beginning says",
            {.min = 0, .max = 1});
    v.Field("ca_file", ca_file, "PEM; trusted for the endpoint besides the system's authorities");
    v.Field("max_queue", max_queue, "Spans that wait; those above it are dropped and counted",
            {.min = 1, .max = 1'000'000});
    v.Field("max_batch", max_batch, "Spans in one request", {.min = 1, .max = 10'000});
    v.Field("interval", interval, "How long a span waits for others",
            {.min = absl::Milliseconds(1), .max = absl::Minutes(1)});
  }
};

/// Makes spans, and hands those that have ended to an exporter, in batches, on a thread of its own.
/// Nobody waits for it: the queue is bounded, and what does not fit or cannot be exported is
/// dropped and counted (tracing_spans_exported_total, tracing_spans_dropped_total). Any thread.
class Tracer {
 public:
  /// Sends a batch away. May block.
  using Export = absl::AnyInvocable<absl::Status(const std::vector<SpanRecord>&)>;

  /// `metrics` and `clock` outlive it.
  Tracer(const TracingConfig& config, Export export_spans, Metrics& metrics, const Clock& clock);
  /// Exports what waits, until an export fails.
  ~Tracer();

  /// The first step here of the trace that `parent` belongs to, which says whether it is recorded.
  /// Without one a trace of its own, `trace_id` (32 hex digits), by the sampling ratio.
  Span Start(std::string_view name, Kind kind, const std::optional<TraceContext>& parent,
             std::string_view trace_id);

 private:
  friend class Span;

  Span NewSpan(std::string_view name, Kind kind, const TraceContext& parent, absl::Time start);
  bool Samples(std::string_view trace_id) const;
  void Add(SpanRecord record);
  void Run();

  const uint64_t sampled_below_;  // of 2^56
  const size_t max_queue_;
  const size_t max_batch_;
  const absl::Duration interval_;
  Export export_;
  const Clock& clock_;
  prometheus::Counter& exported_;
  prometheus::Counter& overflowed_;
  prometheus::Counter& failed_;

  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<SpanRecord> queue_ GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace slipway::tracing

#endif  // SLIPWAY_COMMON_TRACING_TRACER_H_
