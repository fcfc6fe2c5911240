#include "common/tracing/tracer.h"

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "common/metrics/metrics.h"
#include "common/sync/mutex.h"
#include "tests/support/fake_clock.h"

namespace slipway::tracing {
namespace {

using ::testing::HasSubstr;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

// A collector that keeps what it gets, and can be held back or refuse.
class Collector {
 public:
  Tracer::Export Export() {
    return [this](const std::vector<SpanRecord>& spans) {
      MutexLock lock(mutex_);
      ++calls_;
      changed_.SignalAll();
      while (held_) changed_.Wait(mutex_);
      if (!refusal_.ok()) return refusal_;
      spans_.insert(spans_.end(), spans.begin(), spans.end());
      changed_.SignalAll();
      return absl::OkStatus();
    };
  }
  void Hold(bool held) {
    MutexLock lock(mutex_);
    held_ = held;
    changed_.SignalAll();
  }
  void Refuse(absl::Status status) {
    MutexLock lock(mutex_);
    refusal_ = std::move(status);
  }
  void WaitForCall() {
    MutexLock lock(mutex_);
    while (calls_ == 0) changed_.Wait(mutex_);
  }
  std::vector<SpanRecord> spans() {
    MutexLock lock(mutex_);
    return spans_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  int calls_ GUARDED_BY(mutex_) = 0;
  absl::Status refusal_ GUARDED_BY(mutex_);
  std::vector<SpanRecord> spans_ GUARDED_BY(mutex_);
};

class TracerTest : public ::testing::Test {
 protected:
  TracerTest() { config_.interval = absl::Milliseconds(1); }

  Tracer& Start() {
    tracer_.emplace(config_, collector_.Export(), metrics_, clock_);
    return *tracer_;
  }
  // All that was recorded.
  std::vector<SpanRecord> End() {
    tracer_.reset();
    return collector_.spans();
  }

  TracingConfig config_;
  Collector collector_;
  Metrics metrics_{"test"};
  FakeClock clock_;
  std::optional<Tracer> tracer_;
};

TEST_F(TracerTest, RecordsAStepAndItsChild) {
  Tracer& tracer = Start();
  {
    Span request = tracer.Start("request", Kind::kServer, std::nullopt, kTrace);
    EXPECT_TRUE(request.recording());
    request.Set("path", "/v2");
    clock_.Advance(absl::Milliseconds(1));
    Span call = request.Child("call", Kind::kClient);
    clock_.Advance(absl::Milliseconds(2));
    call.Set("status", 503);
    call.Fail("gone");
    call.End();
    call.Set("late", 1);
    clock_.Advance(absl::Milliseconds(4));
  }
  const auto spans = End();
  ASSERT_EQ(spans.size(), 2u);
  const SpanRecord& call = spans[0];
  const SpanRecord& request = spans[1];
  EXPECT_EQ(request.context.trace_id, kTrace);
  EXPECT_EQ(request.parent_span_id, "");
  EXPECT_EQ(request.kind, Kind::kServer);
  EXPECT_EQ(request.end - request.start, absl::Milliseconds(7));
  EXPECT_FALSE(request.failed);
  ASSERT_EQ(request.attributes.size(), 1u);
  EXPECT_EQ(request.attributes[0].first, "path");
  EXPECT_EQ(call.context.trace_id, kTrace);
  EXPECT_EQ(call.parent_span_id, request.context.span_id);
  EXPECT_NE(call.context.span_id, request.context.span_id);
  EXPECT_EQ(call.context.span_id.size(), 16u);
  EXPECT_EQ(call.start - request.start, absl::Milliseconds(1));
  EXPECT_EQ(call.end - call.start, absl::Milliseconds(2));
  EXPECT_TRUE(call.failed);
  EXPECT_EQ(call.error, "gone");
  ASSERT_EQ(call.attributes.size(), 1u) << "what comes after its end is void";
  EXPECT_EQ(std::get<int64_t>(call.attributes[0].second), 503);
}

TEST_F(TracerTest, RecordsAStepThatIsOverByThenAndItsLinks) {
  Tracer& tracer = Start();
  const absl::Time start = clock_.Now() - absl::Milliseconds(5);
  {
    const Span call = tracer.Start("call", Kind::kServer, std::nullopt, kTrace);
    const Span other = tracer.Start("other", Kind::kServer, std::nullopt, std::string(32, 'b'));
    const TraceContext not_sampled = {std::string(32, 'c'), "00f067aa0ba902b7", false, ""};
    Span batch = call.Child("batch", Kind::kInternal, start);
    batch.Link(call);
    batch.Link(other);
    batch.Link(tracer.Start("silent", Kind::kServer, not_sampled, ""));
    batch.Link(Span());
    batch.End(start + absl::Milliseconds(2));
  }
  const auto spans = End();
  const SpanRecord& batch = spans.front();
  ASSERT_EQ(batch.name, "batch");
  EXPECT_EQ(batch.start, start);
  EXPECT_EQ(batch.end - batch.start, absl::Milliseconds(2));
  ASSERT_EQ(batch.links.size(), 2u) << "nobody could follow one to what is not recorded";
  EXPECT_EQ(batch.links[0].span_id, batch.parent_span_id);
  EXPECT_EQ(batch.links[1].trace_id, std::string(32, 'b'));
}

TEST_F(TracerTest, KeepsABoundedNumberOfLinks) {
  Tracer& tracer = Start();
  {
    const Span call = tracer.Start("call", Kind::kServer, std::nullopt, kTrace);
    Span batch = call.Child("batch", Kind::kInternal);
    for (int i = 0; i < 200; ++i) batch.Link(call);
  }
  EXPECT_EQ(End().front().links.size(), 128u);
}

TEST_F(TracerTest, GoesOnWithTheTraceOfItsCaller) {
  TraceContext parent = {kTrace, "00f067aa0ba902b7", true, "vendor=1"};
  Tracer& tracer = Start();
  {
    const Span span = tracer.Start("request", Kind::kServer, parent, std::string(32, 'a'));
    EXPECT_EQ(span.context()->trace_id, kTrace);
    EXPECT_EQ(span.context()->state, "vendor=1");
    EXPECT_NE(span.context()->span_id, parent.span_id);
  }
  const auto spans = End();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].parent_span_id, parent.span_id);
}

TEST_F(TracerTest, PassesOnATraceThatIsNotSampledAndRecordsNothing) {
  const TraceContext parent = {kTrace, "00f067aa0ba902b7", false, "vendor=1"};
  Tracer& tracer = Start();
  {
    const Span span = tracer.Start("request", Kind::kServer, parent, std::string(32, 'a'));
    EXPECT_FALSE(span.recording());
    EXPECT_EQ(span.context()->Traceparent(), parent.Traceparent());
    const Span child = span.Child("call", Kind::kClient);
    EXPECT_EQ(child.context()->Traceparent(), parent.Traceparent());
  }
  EXPECT_TRUE(End().empty());
}

TEST_F(TracerTest, RecordsAShareOfTheTracesThatBeginHere) {
  config_.sample_ratio = 0.25;
  Tracer& tracer = Start();
  int recorded = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string id = RandomHex(16);
    const bool sampled = tracer.Start("a", Kind::kServer, std::nullopt, id).recording();
    EXPECT_EQ(sampled, tracer.Start("b", Kind::kServer, std::nullopt, id).recording())
        << "all programs decide alike";
    recorded += sampled ? 1 : 0;
  }
  EXPECT_NEAR(recorded, 1000, 200);
  End();
}

TEST_F(TracerTest, RecordsAllOrNoneAtTheEndsOfTheRatio) {
  for (const double ratio : {0.0, 1.0}) {
    config_.sample_ratio = ratio;
    Tracer& tracer = Start();
    for (const char digit : {'0', '7', 'f'}) {
      const Span span =
          tracer.Start("a", Kind::kServer, std::nullopt, "1" + std::string(31, digit));
      EXPECT_EQ(span.recording(), ratio == 1.0) << digit;
    }
    End();
  }
}

TEST_F(TracerTest, DropsAndCountsWhatTheQueueDoesNotHold) {
  config_.max_queue = 10;
  config_.max_batch = 1;
  collector_.Hold(true);
  Tracer& tracer = Start();
  tracer.Start("first", Kind::kServer, std::nullopt, kTrace).End();
  collector_.WaitForCall();  // the queue is empty now
  for (int i = 0; i < 15; ++i) tracer.Start("x", Kind::kServer, std::nullopt, kTrace).End();
  collector_.Hold(false);
  EXPECT_EQ(End().size(), 11u);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_test_tracing_spans_dropped_total{reason=\"queue_full\"} 5\n"));
  EXPECT_THAT(metrics_.Text(), HasSubstr("slipway_test_tracing_spans_exported_total 11\n"));
}

TEST_F(TracerTest, DropsAndCountsWhatNobodyTakes) {
  collector_.Refuse(absl::UnavailableError("gone"));
  Tracer& tracer = Start();
  for (int i = 0; i < 3; ++i) tracer.Start("x", Kind::kServer, std::nullopt, kTrace).End();
  EXPECT_TRUE(End().empty());
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_test_tracing_spans_dropped_total{reason=\"export_failed\"} 3\n"));
}

TEST_F(TracerTest, CutsLongTexts) {
  Tracer& tracer = Start();
  tracer.Start("x", Kind::kServer, std::nullopt, kTrace).Set("path", std::string(5000, 'p'));
  const auto spans = End();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(std::get<std::string>(spans[0].attributes[0].second).size(), 1024u);
}

TEST(SpanTest, RecordsNothingByItself) {
  Span span;
  EXPECT_FALSE(span.recording());
  EXPECT_EQ(span.context(), nullptr);
  span.Set("key", "value");
  span.Fail("why");
  EXPECT_FALSE(span.Child("child", Kind::kClient).recording());
  span.End();
}

}  // namespace
}  // namespace slipway::tracing
