#ifndef SLIPWAY_SERVICES_CONTROLLER_CONTROL_LOOP_H_
#define SLIPWAY_SERVICES_CONTROLLER_CONTROL_LOOP_H_

#include <stop_token>
#include <thread>

#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "services/controller/controller.h"

namespace slipway::controller {

/// How often the controller looks by itself; a change wakes it at once.
struct LoopPeriods {
  /// Between two questions to the registry: how late a moved alias is noticed.
  absl::Duration resolve = absl::Seconds(1);
  /// Between two looks at the workers while something is under way, and while nothing is.
  absl::Duration busy = absl::Milliseconds(50);
  absl::Duration idle = absl::Seconds(1);
};

/// A wake-up call that is not lost when nobody waits yet. Any thread.
class Bell {
 public:
  void Ring();
  /// Returns at the next ring, or at once where it has rung since the last wait, or after
  /// `timeout`.
  void Wait(absl::Duration timeout);

 private:
  Mutex mutex_;
  CondVar rung_condition_;
  bool rung_ GUARDED_BY(mutex_) = false;
};

/// The controller's two threads: one asks the registry, one looks at the workers and acts, so
/// that a registry that hangs holds no deployment up.
class ControlLoop {
 public:
  explicit ControlLoop(LoopPeriods periods = {}) : periods_(periods) {}

  /// Begins. Call once; `controller` outlives the loop.
  void Start(Controller& controller);

  /// Something has changed: both threads look at once. Any thread.
  void Wake();

  /// Ends the threads after what they are doing; the destructor does the same.
  void Stop();

 private:
  const LoopPeriods periods_;
  Bell resolve_bell_;
  Bell step_bell_;
  std::jthread resolver_;
  std::jthread stepper_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_CONTROL_LOOP_H_
