#include "common/tracing/tracer.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "prometheus/counter.h"

namespace slipway::tracing {
namespace {

constexpr size_t kSpanIdBytes = 8;
constexpr size_t kMaxText = 1024;
constexpr size_t kMaxLinks = 128;
// The part of a trace's id that is random in every version of the standard.
constexpr size_t kRandomDigits = 14;
constexpr double kRandomValues = uint64_t{1} << 4 * kRandomDigits;

constexpr char kDropped[] = "tracing_spans_dropped_total";
constexpr char kDroppedHelp[] = "Spans that were recorded and not exported";

}  // namespace

Span& Span::operator=(Span&& other) noexcept {
  End();
  state_ = std::move(other.state_);
  return *this;
}

Span Span::Child(std::string_view name, Kind kind) const {
  return state_ == nullptr ? Span() : Child(name, kind, state_->tracer->clock_.Now());
}

Span Span::Child(std::string_view name, Kind kind, absl::Time start) const {
  if (state_ == nullptr) return Span();
  return state_->tracer->NewSpan(name, kind, state_->record.context, start);
}

void Span::Set(std::string_view key, std::string_view value) {
  if (!recording()) return;
  state_->record.attributes.emplace_back(key, std::string(value.substr(0, kMaxText)));
}

void Span::Set(std::string_view key, int64_t value) {
  if (recording()) state_->record.attributes.emplace_back(key, value);
}

void Span::Fail(std::string_view error) {
  if (!recording()) return;
  state_->record.failed = true;
  state_->record.error = error.substr(0, kMaxText);
}

void Span::Link(const Span& other) {
  if (!recording() || !other.recording() || state_->record.links.size() == kMaxLinks) return;
  state_->record.links.push_back(other.state_->record.context);
}

void Span::End() {
  if (state_ != nullptr) End(state_->tracer->clock_.Now());
}

void Span::End(absl::Time end) {
  const std::unique_ptr<State> state = std::move(state_);
  if (state == nullptr || !state->record.context.sampled) return;
  state->record.end = end;
  state->tracer->Add(std::move(state->record));
}

Tracer::Tracer(const TracingConfig& config, Export export_spans, Metrics& metrics,
               const Clock& clock)
    : sampled_below_(static_cast<uint64_t>(config.sample_ratio * kRandomValues)),
      max_queue_(static_cast<size_t>(config.max_queue)),
      max_batch_(static_cast<size_t>(std::min(config.max_batch, config.max_queue))),
      interval_(config.interval),
      export_(std::move(export_spans)),
      clock_(clock),
      exported_(metrics.Counter("tracing_spans_exported_total", "Spans that a collector took")),
      overflowed_(metrics.Counter(kDropped, kDroppedHelp, {{"reason", "queue_full"}})),
      failed_(metrics.Counter(kDropped, kDroppedHelp, {{"reason", "export_failed"}})),
      thread_([this] { Run(); }) {}

Tracer::~Tracer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.Signal();
}

Span Tracer::Start(std::string_view name, Kind kind, const std::optional<TraceContext>& parent,
                   std::string_view trace_id) {
  if (parent) return NewSpan(name, kind, *parent, clock_.Now());
  if (!Samples(trace_id)) return Span();
  TraceContext root;
  root.trace_id = trace_id;
  root.sampled = true;
  return NewSpan(name, kind, root, clock_.Now());
}

Span Tracer::NewSpan(std::string_view name, Kind kind, const TraceContext& parent,
                     absl::Time start) {
  Span span;
  span.state_ = std::make_unique<Span::State>();
  span.state_->tracer = this;
  SpanRecord& record = span.state_->record;
  record.context = parent;
  if (!parent.sampled) return span;
  record.context.span_id = RandomHex(kSpanIdBytes);
  record.parent_span_id = parent.span_id;
  record.name = name;
  record.kind = kind;
  record.start = start;
  return span;
}

bool Tracer::Samples(std::string_view trace_id) const {
  const std::string_view random =
      trace_id.substr(trace_id.size() - std::min(kRandomDigits, trace_id.size()));
  uint64_t number = 0;
  std::from_chars(random.data(), random.data() + random.size(), number, 16);
  return number < sampled_below_;
}

void Tracer::Add(SpanRecord record) {
  MutexLock lock(mutex_);
  if (queue_.size() >= max_queue_) return overflowed_.Increment();
  queue_.push_back(std::move(record));
  if (queue_.size() == max_batch_) wake_.Signal();
}

void Tracer::Run() {
  bool failing = false;
  for (;;) {
    std::vector<SpanRecord> batch;
    bool stopping = false;
    {
      MutexLock lock(mutex_);
      if (!stopping_ && queue_.size() < max_batch_) {
        wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(interval_));
      }
      stopping = stopping_;
      const size_t count = std::min(max_batch_, queue_.size());
      const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
      batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
      queue_.erase(queue_.begin(), end);
    }
    if (batch.empty()) {
      if (stopping) return;
      continue;
    }
    const absl::Status status = export_(batch);
    (status.ok() ? exported_ : failed_).Increment(static_cast<double>(batch.size()));
    if (!status.ok() && !failing) {
      Log(Severity::kWarning, "trace_export_failed", {{"error", status}});
    } else if (status.ok() && failing) {
      Log(Severity::kInfo, "trace_export_recovered", {});
    }
    failing = !status.ok();
    if (stopping && failing) return;
  }
}

}  // namespace slipway::tracing
