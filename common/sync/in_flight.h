#ifndef SLIPWAY_COMMON_SYNC_IN_FLIGHT_H_
#define SLIPWAY_COMMON_SYNC_IN_FLIGHT_H_

#include "common/sync/mutex.h"

namespace slipway {

/// Counts work that others finish, so that its owner can wait for the last of it. Any thread.
class InFlight {
 public:
  /// One piece of work, from its making to its end.
  class Guard {
   public:
    explicit Guard(InFlight& owner) : owner_(owner) { owner_.Add(1); }
    ~Guard() { owner_.Add(-1); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    InFlight& owner_;
  };

  /// Returns once there is none. New work must have stopped coming.
  void WaitForNone() {
    MutexLock lock(mutex_);
    while (count_ > 0) none_.Wait(mutex_);
  }

  int count() {
    MutexLock lock(mutex_);
    return count_;
  }

 private:
  void Add(int change) {
    MutexLock lock(mutex_);
    count_ += change;
    if (count_ == 0) none_.SignalAll();
  }

  Mutex mutex_;
  CondVar none_;
  int count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SYNC_IN_FLIGHT_H_
