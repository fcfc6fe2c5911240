#include "services/inference/batching/batch_trace.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/metrics/metrics.h"
#include "common/sync/mutex.h"
#include "gmock/gmock.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/services/inference/batching/fake_call.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using tracing::Kind;
using tracing::Span;
using tracing::SpanRecord;

constexpr RunTimes kTimes = {absl::Milliseconds(1), absl::Milliseconds(10), absl::Milliseconds(2)};

class BatchTraceTest : public testing::Test {
 protected:
  BatchTraceTest() { clock_.Advance(absl::Seconds(1)); }

  // A call that came so long before its batch, in a trace of its own where it is to be recorded.
  void Add(absl::Duration waited, bool recorded) {
    auto call = std::make_unique<FakeCall>(std::make_shared<CallFate>());
    call->arrived = clock_.Monotonic() - waited;
    if (recorded) {
      const std::string trace(32, static_cast<char>('a' + spans_.size()));
      spans_.push_back(std::make_unique<Span>(
          tracer_->Start("worker.infer", Kind::kServer, std::nullopt, trace)));
      call->span = spans_.back().get();
    }
    batch_.calls.push_back(std::move(call));
    batch_.rows += 2;
  }
  // What was recorded of the calls when they have ended, too.
  std::vector<SpanRecord> Run(const absl::Status& status = absl::OkStatus(), bool again = false) {
    TraceBatch(batch_, clock_.Monotonic(), kTimes, status, again, clock_);
    spans_.clear();
    tracer_.reset();
    MutexLock lock(mutex_);
    return exported_;
  }
  static std::vector<SpanRecord> Named(const std::vector<SpanRecord>& spans,
                                       const std::string& name) {
    std::vector<SpanRecord> found;
    for (const SpanRecord& span : spans) {
      if (span.name == name) found.push_back(span);
    }
    return found;
  }
  static std::vector<std::string> LinksOf(const SpanRecord& span) {
    std::vector<std::string> ids;
    for (const tracing::TraceContext& link : span.links) ids.push_back(link.span_id);
    return ids;
  }

  FakeClock clock_;
  Metrics metrics_{"worker"};
  Mutex mutex_;
  std::vector<SpanRecord> exported_ GUARDED_BY(mutex_);
  std::unique_ptr<tracing::Tracer> tracer_ = std::make_unique<tracing::Tracer>(
      tracing::TracingConfig{},
      [this](const std::vector<SpanRecord>& spans) {
        MutexLock lock(mutex_);
        exported_.insert(exported_.end(), spans.begin(), spans.end());
        return absl::OkStatus();
      },
      metrics_, clock_);
  Batch batch_;
  std::vector<std::unique_ptr<Span>> spans_;
};

TEST_F(BatchTraceTest, ARunIsAStepOfItsFirstCallAndLinkedToAllOfThem) {
  Add(absl::Milliseconds(9), /*recorded=*/false);
  Add(absl::Milliseconds(7), /*recorded=*/true);
  Add(absl::Milliseconds(5), /*recorded=*/true);
  const absl::Time start = clock_.Now();
  const auto spans = Run();
  const auto calls = Named(spans, "worker.infer");
  ASSERT_EQ(calls.size(), 2u);

  const auto waits = Named(spans, "worker.queue");
  ASSERT_EQ(waits.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(waits[i].context.trace_id, calls[i].context.trace_id);
    EXPECT_EQ(waits[i].parent_span_id, calls[i].context.span_id);
    EXPECT_EQ(waits[i].start, start - absl::Milliseconds(i == 0 ? 7 : 5));
    EXPECT_EQ(waits[i].end, start);
  }

  const auto batches = Named(spans, "worker.batch");
  ASSERT_EQ(batches.size(), 1u);
  const SpanRecord& batch = batches[0];
  EXPECT_EQ(batch.parent_span_id, calls[0].context.span_id);
  EXPECT_EQ(batch.start, start);
  EXPECT_EQ(batch.end, start + absl::Milliseconds(13));
  EXPECT_THAT(batch.attributes, ElementsAre(testing::Pair("slipway.batch.calls", int64_t{3}),
                                            testing::Pair("slipway.batch.rows", int64_t{6})));
  EXPECT_THAT(LinksOf(batch), ElementsAre(calls[0].context.span_id, calls[1].context.span_id));
  EXPECT_THAT(LinksOf(calls[0]), IsEmpty()) << "it is its step already";
  EXPECT_THAT(LinksOf(calls[1]), ElementsAre(batch.context.span_id));

  const auto runs = Named(spans, "worker.execute");
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].parent_span_id, batch.context.span_id);
  EXPECT_EQ(runs[0].start, start + absl::Milliseconds(1));
  EXPECT_EQ(runs[0].end, start + absl::Milliseconds(11));
}

TEST_F(BatchTraceTest, ARunThatFailedSaysWhy) {
  Add(absl::Milliseconds(7), /*recorded=*/true);
  const auto spans = Run(absl::InternalError("out of luck"));
  for (const char* name : {"worker.batch", "worker.execute"}) {
    const auto found = Named(spans, name);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_TRUE(found[0].failed);
    EXPECT_EQ(found[0].error, "out of luck");
  }
}

TEST_F(BatchTraceTest, ACallThatRunsAgainWaitsUntilThen) {
  Add(absl::Milliseconds(7), /*recorded=*/true);
  const auto spans = Run(absl::InternalError("out of luck"), /*again=*/true);
  EXPECT_EQ(Named(spans, "worker.batch").size(), 1u);
  EXPECT_THAT(Named(spans, "worker.queue"), IsEmpty());
}

TEST_F(BatchTraceTest, NothingIsRecordedWhereNoCallIs) {
  Add(absl::Milliseconds(7), /*recorded=*/false);
  EXPECT_THAT(Run(), IsEmpty());
}

}  // namespace
}  // namespace slipway::worker
