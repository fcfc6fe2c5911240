#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_MODEL_QUEUE_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_MODEL_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "services/inference/batching/batch_call.h"
#include "services/inference/batching/batch_policy.h"
#include "services/inference/batching/latency_model.h"
#include "services/inference/batching/padding.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// A call that leaves without an answer, and what it is told.
struct DroppedCall {
  BatchCallPtr call;
  absl::Status why;
};

/// The calls that wait for one model, and the rules by which they become batches. A state machine:
/// no thread, no lock, no clock; time is an argument and never goes back.
///
/// A batch is put together when an instance starts it, so that it grows as long as all instances
/// are busy. It takes the first call that waits (by priority, then by arrival), and those behind
/// it that have the same shape, or lengths that may be padded together, until it is full or until
/// one more row would make a call in it late. Calls of one priority and one shape run in their
/// order.
class ModelQueue {
 public:
  /// `tenant` is whose time is used. `model` may be null where nothing is run (a test's). `now` is
  /// when it came.
  ModelQueue(BatchPolicy policy, std::string tenant, std::shared_ptr<const LoadedModel> model,
             absl::Duration now = absl::ZeroDuration(), Padding padding = {});

  /// Takes the call over, or gives up one: OK, or why this call cannot be served, and then it is
  /// still the caller's. What leaves the queue to make room goes to `dropped`.
  /// Errors: kDeadlineExceeded; kUnavailable where its priority's queue is full, or where what
  /// waits already would keep it past its deadline.
  absl::Status Push(BatchCallPtr& call, absl::Duration now, std::vector<DroppedCall>& dropped);

  /// When the next batch should start if an instance is free; infinite where nothing waits. At
  /// once where a batch is full, or where waiting cannot pay: the runs of the last while had no
  /// more rows than wait now; or the wait since the newest call, summed over the rows, has cost
  /// what the fixed part of a run costs. In any case after BatchPolicy::max_delay, and in time for
  /// the deadline of the first call.
  absl::Duration ReadyAt(absl::Duration now) const;

  /// Drops what is past its deadline; moves or drops what has waited past its queue's timeout.
  void Expire(absl::Duration now, std::vector<DroppedCall>& dropped);
  /// When Expire may have something to do; infinite: never.
  absl::Duration ExpiresAt() const;

  /// The calls of the next batch; none where everything that waited had to be dropped.
  std::vector<BatchCallPtr> Take(absl::Duration now, std::vector<DroppedCall>& dropped);

  /// What a run was measured to take before there were calls.
  void Learn(int64_t rows, absl::Duration took, absl::Duration now) {
    latency_.Observe(rows, took, now);
  }

  /// A run of so many rows has ended, well or not. `work`: rows times positions.
  void Ran(int64_t rows, double work, absl::Duration took, absl::Duration now);

  /// Calls of a run that failed go first again, each alone.
  void PutBack(std::vector<BatchCallPtr> calls);

  /// Gives the model up, from when on calls wait until there is one again; null, and nothing is
  /// changed, where calls wait or run.
  std::shared_ptr<const LoadedModel> TakeModel();
  /// After TakeModel(). It has the same signature.
  void SetModel(std::shared_ptr<const LoadedModel> model, absl::Duration now);
  bool has_model() const { return has_model_; }
  /// Drops all that wait.
  void Clear(const absl::Status& why, std::vector<DroppedCall>& dropped);

  /// Nothing starts until `calls` calls wait. Once; makes tests deterministic.
  void HoldUntil(size_t calls) { hold_ = calls; }

  bool empty() const { return waiting_ == 0; }
  size_t waiting() const { return waiting_; }
  /// When the call that has waited longest came. Not where it is empty.
  absl::Duration oldest() const;
  /// When the last call came; before the first one, when the model did.
  absl::Duration last_used() const { return newest_; }
  /// Whether all that waits is expected to run within `limit`.
  bool IsQuick(absl::Duration limit, absl::Duration now) const {
    return latency_.IsWithin(limit, work_waiting_, now);
  }
  int running() const { return running_; }
  bool may_start() const {
    return has_model_ && (policy_.max_instances == 0 || running_ < policy_.max_instances);
  }
  absl::Duration Predict(double work, absl::Duration now) const {
    return latency_.Predict(work, now);
  }

  const BatchPolicy& policy() const { return policy_; }
  const Padding& padding() const { return padding_; }
  const std::string& tenant() const { return tenant_; }
  /// What runs its batches, and stays as it is while one is under way.
  const LoadedModel* model() const { return model_.get(); }

 private:
  using Line = std::deque<BatchCallPtr>;
  // The calls of one priority.
  struct Level {
    // Those that were put back: their wait was over once.
    Line again;
    Line line;
    // Those that let the others go first.
    Line delayed;
    // In all of them.
    int64_t rows = 0;
    // In the order in which they run.
    std::array<Line*, 3> lines() { return {&again, &line, &delayed}; }
    std::array<const Line*, 3> lines() const { return {&again, &line, &delayed}; }
  };
  class Batch;

  void Describe(BatchCall& call) const;
  void ReadInputs(BatchCall& call) const;
  const BatchCall* First() const;
  /// Rows that wait and could join the first call, at most `enough`.
  int64_t RowsOfFirst(int64_t enough) const;
  int64_t RowsToTake() const;
  /// About what so many rows cost, by those that wait.
  double WorkOf(int64_t rows) const;
  bool WouldBeLate(const BatchCall& call, absl::Duration now) const;
  /// Drops those that nobody waits for any more, and those that are late.
  void Sweep(absl::Duration now, std::vector<DroppedCall>& dropped);
  void Added(const BatchCall& call);
  void Removed(const BatchCall& call);
  void Drop(BatchCallPtr call, absl::Status why, std::vector<DroppedCall>& dropped);

  const BatchPolicy policy_;
  const std::string tenant_;
  std::shared_ptr<const LoadedModel> model_;
  bool has_model_ = true;
  // False where the calls of a test say by themselves what they bring.
  const bool reads_inputs_;
  const bool batches_;
  const bool shapes_differ_;
  const Padding padding_;

  std::vector<Level> levels_;
  size_t waiting_ = 0;
  int64_t rows_waiting_ = 0;
  double work_waiting_ = 0;
  int running_ = 0;
  int64_t rows_running_ = 0;
  absl::Duration newest_;
  absl::Duration swept_ = -absl::InfiniteDuration();
  // No call that waits has an earlier deadline.
  absl::Duration earliest_deadline_ = absl::InfiniteDuration();
  size_t hold_ = 0;
  // Rows that were under way or waiting at once; forgets by and by.
  double crowd_ = 0;
  LatencyModel latency_;
};

/// The earliest a timer is worth its wake-up.
inline constexpr absl::Duration kShortestWait = absl::Microseconds(20);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_MODEL_QUEUE_H_
