#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCHER_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCHER_H_

#include <cstddef>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/inference/batching/batch_scheduler.h"

namespace slipway::worker {

/// Runs models: a fixed number of instances, shared by all models so that the machine's cores are
/// never contended for. Each has a thread that asks the BatchScheduler for a batch, runs it and
/// answers its calls; one more ends the wait of calls that wait too long, whatever those do. Any
/// thread may call.
///
/// A call that is expected to run for less time than waking a thread takes, runs on the thread that
/// brings it where an instance is free and nothing else waits. That may be one that serves
/// connections: what is not known to be quick never runs there.
class Batcher {
 public:
  /// What a call may take to run on its caller's thread.
  static constexpr absl::Duration kQuick = absl::Microseconds(50);

  struct Options {
    /// Runs at once.
    int instances = 1;
    /// Tenants' shares of the instances' time; 1 for those not named.
    std::map<std::string, double> weights = {};
    /// Calls its argument, which answers the calls of a batch: for whoever can send together what
    /// is answered together. May be null.
    std::function<void(absl::FunctionRef<void()>)> answer_together = nullptr;
  };
  /// The clock outlives this object.
  Batcher(Options options, const Clock& clock);
  /// Expects that nothing waits and nothing runs.
  ~Batcher();

  /// Takes the call over and has it run, or refused: its Finish says which, perhaps before this
  /// returns. The call keeps its queue alive. False where the call waits for the queue to have a
  /// model again.
  bool Submit(ModelQueue& queue, BatchCallPtr call);

  /// See ModelQueue. What is given up is the caller's to free, under no lock.
  std::shared_ptr<const LoadedModel> TakeModel(ModelQueue& queue);
  /// The calls that wait are run.
  void SetModel(ModelQueue& queue, std::shared_ptr<const LoadedModel> model);
  /// Refuses all calls that wait.
  void Clear(ModelQueue& queue, const absl::Status& why);
  bool has_model(const ModelQueue& queue) const;
  absl::Duration last_used(const ModelQueue& queue) const;

  /// See ModelQueue.
  void HoldUntil(ModelQueue& queue, size_t calls);
  size_t waiting(const ModelQueue& queue) const;

 private:
  void Serve(const std::stop_token& stop);
  void EndLongWaits(const std::stop_token& stop);
  BatchScheduler::Turn AwaitTurn(const std::stop_token& stop);
  /// What is to be done now, with an instance taken for the batch in it.
  BatchScheduler::Turn TakeTurn(absl::Duration now) REQUIRES(mutex_);
  /// True where a thread sleeps that could look for work; it is counted as woken then, and
  /// `changed_` is to be signalled.
  bool WakeOne() REQUIRES(mutex_);
  void Do(BatchScheduler::Turn turn);
  void RunBatch(Batch batch);

  const Clock& clock_;
  const std::function<void(absl::FunctionRef<void()>)> answer_together_;
  mutable Mutex mutex_;
  CondVar changed_;
  BatchScheduler scheduler_ GUARDED_BY(mutex_);
  // Instances that run nothing.
  int free_ GUARDED_BY(mutex_);
  // Threads that wait; how many of them were woken and have not seen it yet; when the first of
  // them looks by itself.
  int sleeping_ GUARDED_BY(mutex_) = 0;
  int woken_ GUARDED_BY(mutex_) = 0;
  absl::Duration alarm_ GUARDED_BY(mutex_) = absl::InfiniteDuration();
  // When EndLongWaits() looks by itself, and what tells it that this is too late.
  absl::Duration expiry_ GUARDED_BY(mutex_) = absl::InfiniteDuration();
  CondVar expiry_changed_;

  std::vector<std::jthread> threads_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCHER_H_
