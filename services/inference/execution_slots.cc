#include "services/inference/execution_slots.h"

namespace slipway::worker {

void ExecutionSlots::RunWaitingAndFree() {
  for (;;) {
    std::unique_ptr<Work> work;
    {
      MutexLock lock(mutex_);
      if (waiting_.empty()) {
        ++free_;
        return;
      }
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work->Run();
  }
}

size_t ExecutionSlots::waiting() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

absl::Status ExecutionSlots::Full() {
  return absl::UnavailableError("the worker's queue is full, try again later");
}

}  // namespace slipway::worker
