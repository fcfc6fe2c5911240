#ifndef SLIPWAY_COMMON_TIME_CLOCK_H_
#define SLIPWAY_COMMON_TIME_CLOCK_H_

#include "absl/time/time.h"

namespace slipway {

/// The time, behind a seam so that tests own it (tests/support/fake_clock.h). Any thread.
class Clock {
 public:
  virtual ~Clock() = default;

  /// Wall time, for showing and for storing. It may jump.
  virtual absl::Time Now() const = 0;

  /// Time since some fixed moment, for measuring and for time-outs. It never goes back.
  virtual absl::Duration Monotonic() const = 0;

  /// Waits in the calling thread. For outer loops of programs (a command line that polls); what
  /// waits for a condition uses common/sync.
  virtual void SleepFor(absl::Duration time) const = 0;

  /// The machine's clocks. Lives for the whole program.
  static const Clock& Real();
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TIME_CLOCK_H_
