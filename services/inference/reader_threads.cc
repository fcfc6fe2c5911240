#include "services/inference/reader_threads.h"

#include <sched.h>
#include <unistd.h>

namespace slipway::worker {
namespace {

// A thread of SCHED_BATCH that wakes up waits for the one that runs to pause, or for its time
// slice to end.
void SetPolicy(pid_t thread, int policy) {
  const sched_param parameters{};
  ::sched_setscheduler(thread, policy, &parameters);
}

}  // namespace

void ReaderThreads::Join() {
  static thread_local bool joined = false;
  if (joined) return;
  joined = true;
  MutexLock lock(mutex_);
  threads_.push_back(::gettid());
  if (going_first_ == 0) SetPolicy(threads_.back(), SCHED_BATCH);
}

void ReaderThreads::Count(int change) {
  MutexLock lock(mutex_);
  const bool before = going_first_ > 0;
  going_first_ += change;
  const bool after = going_first_ > 0;
  if (before == after) return;
  for (const pid_t thread : threads_) SetPolicy(thread, after ? SCHED_OTHER : SCHED_BATCH);
}

}  // namespace slipway::worker
