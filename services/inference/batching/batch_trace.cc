#include "services/inference/batching/batch_trace.h"

#include <string>
#include <vector>

#include "common/tracing/tracer.h"

namespace slipway::worker {

using tracing::Kind;
using tracing::Span;

void TraceBatch(const Batch& batch, absl::Duration start, const RunTimes& times,
                const absl::Status& status, bool again, const Clock& clock) {
  std::vector<BatchCall*> calls;
  for (const BatchCallPtr& call : batch.calls) {
    if (call->span != nullptr) calls.push_back(call.get());
  }
  if (calls.empty()) return;
  const absl::Time epoch = clock.Now() - clock.Monotonic();
  for (const BatchCall* call : calls) {
    if (again) break;
    call->span->Child("worker.queue", Kind::kInternal, epoch + call->arrived).End(epoch + start);
  }
  Span run = calls[0]->span->Child("worker.batch", Kind::kInternal, epoch + start);
  run.Set("slipway.batch.calls", static_cast<int64_t>(batch.calls.size()));
  run.Set("slipway.batch.rows", batch.rows);
  for (BatchCall* call : calls) {
    run.Link(*call->span);
    if (call != calls[0]) call->span->Link(run);
  }
  const absl::Time execution = epoch + start + times.input;
  Span execute = run.Child("worker.execute", Kind::kInternal, execution);
  if (!status.ok()) {
    const std::string why(status.message());
    execute.Fail(why);
    run.Fail(why);
  }
  execute.End(execution + times.infer);
  run.End(epoch + start + times.total());
}

}  // namespace slipway::worker
