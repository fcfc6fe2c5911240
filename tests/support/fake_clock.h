#ifndef SLIPWAY_TESTS_SUPPORT_FAKE_CLOCK_H_
#define SLIPWAY_TESTS_SUPPORT_FAKE_CLOCK_H_

#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"

namespace slipway {

/// A clock that moves only when told. Any thread.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'700'000'000)) : start_(start) {}

  absl::Time Now() const override { return start_ + Monotonic(); }
  absl::Duration Monotonic() const override {
    MutexLock lock(mutex_);
    return elapsed_;
  }
  void SleepFor(absl::Duration time) const override { Advance(time); }
  void Advance(absl::Duration by) const {
    MutexLock lock(mutex_);
    elapsed_ += by;
  }

 private:
  const absl::Time start_;
  mutable Mutex mutex_;
  mutable absl::Duration elapsed_ GUARDED_BY(mutex_) = absl::ZeroDuration();
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_FAKE_CLOCK_H_
