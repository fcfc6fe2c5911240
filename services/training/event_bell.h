#ifndef SLIPWAY_SERVICES_TRAINING_EVENT_BELL_H_
#define SLIPWAY_SERVICES_TRAINING_EVENT_BELL_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/time/time.h"
#include "common/names/names.h"
#include "common/sync/mutex.h"

namespace slipway::training {

/// Tells those who watch a job that it has new events, so that they read the store when there is
/// something to read and never else. Any thread. Outlives its listeners.
class EventBell {
 public:
  /// One watcher of one job. One thread.
  class Listener {
   public:
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    /// Waits until the job has an event above `sequence` (true), or for `timeout` (false). Events
    /// from before the listener count only where it was there when they rang: listen first, then
    /// read the store, then wait.
    bool WaitBeyond(int64_t sequence, absl::Duration timeout);

   private:
    friend class EventBell;
    Listener(EventBell& bell, JobName job) : bell_(bell), job_(std::move(job)) {}
    EventBell& bell_;
    const JobName job_;
  };

  std::unique_ptr<Listener> Listen(const JobName& job);

  /// The job's newest event has this sequence, and it is in the store.
  void Ring(const JobName& job, int64_t sequence);

  /// Nothing will ring any more: all waits end, now and later.
  void Close();
  bool closed() const;

 private:
  struct Watched {
    int listeners = 0;
    int64_t newest = 0;
    CondVar rang;
  };

  mutable Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::map<JobName, Watched> watched_ GUARDED_BY(mutex_);
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_EVENT_BELL_H_
