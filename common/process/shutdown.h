#ifndef SLIPWAY_COMMON_PROCESS_SHUTDOWN_H_
#define SLIPWAY_COMMON_PROCESS_SHUTDOWN_H_

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace slipway {

/// The wish to stop: SIGTERM, SIGINT or Trigger(). Make it first thing in main(), before any
/// thread: it blocks the two signals in this thread and in all that it will start, so that only
/// Wait() sees them. (Processes from LocalProcessLauncher start with nothing blocked.) Also ignores
/// SIGPIPE. One per program; any thread may wait or trigger.
///
///     ShutdownSignal shutdown;
///     ... start servers ...
///     shutdown.Wait();
///     ... drain and stop ...
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  /// Blocks until the wish is there; stays so: each later call returns at once. Returns what
  /// asked: "SIGTERM", "SIGINT", or the reason given to Trigger.
  std::string Wait();

  /// As Wait, for at most `timeout`. False when the time ran out.
  bool WaitFor(absl::Duration timeout);

  /// Asks from inside, for instance when a part that the program cannot do without has failed.
  void Trigger(const std::string& reason);

  /// Called by main's thread after Wait has returned: from then on a SIGINT or SIGTERM ends the
  /// program at once, for a person who presses Ctrl-C twice.
  void ExitOnNextSignal();

 private:
  bool Poll(int timeout_ms);

  int signal_fd_ = -1;
  int event_fd_ = -1;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROCESS_SHUTDOWN_H_
