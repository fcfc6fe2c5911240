#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_TRACE_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_TRACE_H_

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/inference/batching/batch_scheduler.h"

namespace slipway::worker {

/// Records a run in the traces of the calls that it held (BatchCall::span); nothing where none of
/// them is recorded. Each call gets its wait ("worker.queue"). The run itself happened once, and so
/// is one step, "worker.batch" with "worker.execute" below it, of the first of these calls; it
/// links to all of them, and the others to it.
///
/// `start` by Clock::Monotonic; `status` is the run's. `again`: its calls go back into the queue,
/// where their wait goes on.
void TraceBatch(const Batch& batch, absl::Duration start, const RunTimes& times,
                const absl::Status& status, bool again, const Clock& clock);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_TRACE_H_
