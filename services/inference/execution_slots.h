#ifndef SLIPWAY_SERVICES_INFERENCE_EXECUTION_SLOTS_H_
#define SLIPWAY_SERVICES_INFERENCE_EXECUTION_SLOTS_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include "common/status/status.h"
#include "common/sync/mutex.h"

namespace slipway::worker {

/// Says which thread runs a model, and how many run at once: at most `slots`, whatever the number
/// of models, so that the machine's cores are never contended for.
///
/// The caller runs if it can. A thread that brings work while a slot is free runs it at once, on
/// its own stack: no queue, no wake-up, no hop to another core. While all slots are taken work
/// waits in one bounded queue, first in, first out, and whoever gives a slot back first runs what
/// waits. So no thread ever sleeps here, and there is no thread of its own.
///
/// This is the place of a scheduler: one that forms batches takes Work that can be joined, and
/// gives it to the same slots.
///
/// Any thread. The destructor expects that nothing runs and nothing waits.
class ExecutionSlots {
 public:
  /// One call's work, where it has to wait. Run() is called once.
  class Work {
   public:
    virtual ~Work() = default;
    virtual void Run() = 0;
  };

  ExecutionSlots(int slots, size_t max_waiting) : max_waiting_(max_waiting), free_(slots) {}

  /// Calls `run()` now where a slot is free, and then whatever has come to wait meanwhile. Else
  /// puts `make_work()` (a std::unique_ptr<Work>) into the queue and returns. `run` must not
  /// throw. Errors: kUnavailable when the queue is full; neither was called then.
  template <class Run, class MakeWork>
  absl::Status RunOrWait(Run run, MakeWork make_work) {
    {
      MutexLock lock(mutex_);
      if (free_ == 0) {
        if (waiting_.size() >= max_waiting_) return Full();
        waiting_.push_back(make_work());
        return absl::OkStatus();
      }
      --free_;
    }
    run();
    RunWaitingAndFree();
    return absl::OkStatus();
  }

  size_t waiting() const;

 private:
  static absl::Status Full();
  void RunWaitingAndFree();

  const size_t max_waiting_;
  mutable Mutex mutex_;
  int free_ GUARDED_BY(mutex_);
  std::deque<std::unique_ptr<Work>> waiting_ GUARDED_BY(mutex_);
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_EXECUTION_SLOTS_H_
