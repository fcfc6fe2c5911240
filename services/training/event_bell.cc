#include "services/training/event_bell.h"

#include <algorithm>

namespace slipway::training {
namespace {

// A condition variable cannot wait for ever: its clock would overflow.
constexpr absl::Duration kLongest = absl::Hours(1);

}  // namespace

std::unique_ptr<EventBell::Listener> EventBell::Listen(const JobName& job) {
  MutexLock lock(mutex_);
  ++watched_[job].listeners;
  return std::unique_ptr<Listener>(new Listener(*this, job));
}

EventBell::Listener::~Listener() {
  MutexLock lock(bell_.mutex_);
  const auto watched = bell_.watched_.find(job_);
  if (--watched->second.listeners == 0) bell_.watched_.erase(watched);
}

bool EventBell::Listener::WaitBeyond(int64_t sequence, absl::Duration timeout) {
  MutexLock lock(bell_.mutex_);
  Watched& watched = bell_.watched_.find(job_)->second;
  // A ring for an event that was read already wakes too.
  while (watched.newest <= sequence && !bell_.closed_) {
    if (!watched.rang.WaitFor(bell_.mutex_,
                              absl::ToChronoNanoseconds(std::min(timeout, kLongest)))) {
      break;
    }
  }
  return watched.newest > sequence;
}

void EventBell::Ring(const JobName& job, int64_t sequence) {
  MutexLock lock(mutex_);
  const auto watched = watched_.find(job);
  if (watched == watched_.end()) return;
  watched->second.newest = std::max(watched->second.newest, sequence);
  watched->second.rang.SignalAll();
}

void EventBell::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  for (auto& [job, watched] : watched_) watched.rang.SignalAll();
}

bool EventBell::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

}  // namespace slipway::training
