#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_SCHEDULER_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_SCHEDULER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/inference/batching/model_queue.h"

namespace slipway::worker {

/// Calls that run together.
struct Batch {
  ModelQueue* queue = nullptr;
  std::vector<BatchCallPtr> calls;
  int64_t rows = 0;
  /// What the calls are padded to; empty where nothing is.
  std::vector<int64_t> lengths;
  /// Rows, times the positions of each.
  double work = 0;
  /// What its tenant has paid for it in advance.
  absl::Duration charged;
};

/// Which model's batch runs next: one scheduler for all models of a worker, since they share its
/// threads. Time is shared between tenants by their weights (start-time fair queueing: of the
/// tenants with a batch that is ready, the one that has used the least time for its weight goes
/// first; one that comes back from idling starts level with the others), and between a tenant's
/// models by who waits longest. A state machine, as ModelQueue.
class BatchScheduler {
 public:
  /// Tenants that are not in `weights` have 1.
  explicit BatchScheduler(std::map<std::string, double> weights = {})
      : weights_(std::move(weights)) {}

  /// As ModelQueue::Push. The queue outlives its calls and its batches.
  absl::Status Push(ModelQueue& queue, BatchCallPtr& call, absl::Duration now,
                    std::vector<DroppedCall>& dropped);

  /// Ends the wait of calls that have waited too long, and says when to do so again. To be asked
  /// also while no thread is free.
  absl::Duration Expire(absl::Duration now, std::vector<DroppedCall>& dropped);

  /// As ModelQueue::Clear.
  void Clear(ModelQueue& queue, const absl::Status& why, std::vector<DroppedCall>& dropped);

  /// What a thread that is free is to do.
  struct Turn {
    /// To be told why, first.
    std::vector<DroppedCall> dropped;
    /// To be run, then handed to Ran(); without a queue: nothing is ready.
    Batch batch;
    /// When to ask again where nothing is ready and nothing comes.
    absl::Duration ask_again = absl::InfiniteDuration();
  };
  Turn Next(absl::Duration now);

  /// The batch has run, well or not.
  void Ran(const Batch& batch, absl::Duration took, absl::Duration now);

  /// The calls of a batch that has run and failed go again, one by one.
  void PutBack(Batch& batch);

  /// True where no call waits.
  bool empty() const { return queues_.empty(); }

 private:
  struct Tenant {
    double weight = 1;
    // Seconds used, divided by the weight.
    double used = 0;
    // Its queues that are not empty, and its batches under way.
    int active = 0;
  };

  Tenant& TenantOf(const ModelQueue& queue);
  const Tenant& TenantOf(const ModelQueue& queue) const;
  void Activate(ModelQueue& queue);
  bool GoesBefore(const ModelQueue& a, const ModelQueue& b) const;
  void Start(ModelQueue& queue, absl::Duration now, Batch& batch);
  void DropEmptyQueues();

  const std::map<std::string, double> weights_;
  // Those that are active, or have used more than others since.
  std::map<std::string, Tenant, std::less<>> tenants_;
  // Those that are not empty.
  std::vector<ModelQueue*> queues_;
  // What tenants had used when their last batch was started: where a newcomer begins.
  double level_ = 0;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_SCHEDULER_H_
