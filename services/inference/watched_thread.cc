#include "services/inference/watched_thread.h"

#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "common/time/clock.h"

namespace slipway::worker {

struct WatchedThread::State {
  void Serve(const std::stop_token& stop);

  Mutex mutex;
  CondVar changed;
  // What is to be done; empty once it is.
  std::function<void()> work GUARDED_BY(mutex);
};

void WatchedThread::State::Serve(const std::stop_token& stop) {
  for (;;) {
    std::function<void()> next;
    {
      MutexLock lock(mutex);
      while (!work && !stop.stop_requested()) changed.Wait(mutex);
      if (stop.stop_requested()) return;
      next = work;
    }
    next();
    MutexLock lock(mutex);
    work = nullptr;
    changed.SignalAll();
  }
}

WatchedThread::WatchedThread()
    : state_(std::make_shared<State>()),
      thread_([state = state_](const std::stop_token& stop) { state->Serve(stop); }) {}

WatchedThread::~WatchedThread() {
  if (stuck_) {
    // Reachable until the process ends, so that no tool takes it for a leak.
    static Mutex mutex;
    static auto& left = *new std::vector<std::jthread>();
    MutexLock lock(mutex);
    left.push_back(std::move(thread_));
    return;
  }
  thread_.request_stop();
  MutexLock lock(state_->mutex);
  state_->changed.SignalAll();
}

bool WatchedThread::Run(std::function<void()> work, absl::Duration limit) {
  const Clock& clock = Clock::Real();
  const absl::Duration give_up = clock.Monotonic() + limit;
  MutexLock lock(state_->mutex);
  state_->work = std::move(work);
  state_->changed.SignalAll();
  while (state_->work) {
    const absl::Duration left = give_up - clock.Monotonic();
    if (left <= absl::ZeroDuration()) {
      stuck_ = true;
      return false;
    }
    state_->changed.WaitFor(state_->mutex, absl::ToChronoNanoseconds(left));
  }
  return true;
}

}  // namespace slipway::worker
