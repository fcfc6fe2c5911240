#include "common/sync/repeating_thread.h"

#include <utility>

namespace slipway {

RepeatingThread::~RepeatingThread() {
  MutexLock lock(mutex_);
  stopping_ = true;
  wake_.SignalAll();
}

void RepeatingThread::Start(absl::Duration interval, First first, Work work) {
  thread_ = std::jthread([this, interval, first, work = std::move(work)]() mutable {
    Run(interval, first, std::move(work));
  });
}

void RepeatingThread::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  wake_.SignalAll();
}

bool RepeatingThread::stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void RepeatingThread::Run(absl::Duration interval, First first, Work work) {
  bool at_once = first == First::kAtOnce;
  for (;;) {
    {
      MutexLock lock(mutex_);
      // A turn too early does no harm.
      if (!at_once && !woken_ && !stopping_) {
        wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(interval));
      }
      if (stopping_) return;
      at_once = woken_ = false;
    }
    work();
  }
}

}  // namespace slipway
