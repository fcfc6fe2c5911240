#ifndef SLIPWAY_COMMON_PROCESS_SUPERVISOR_H_
#define SLIPWAY_COMMON_PROCESS_SUPERVISOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/process/process_launcher.h"
#include "common/status/status.h"
#include "common/time/clock.h"

namespace slipway {

struct RestartOptions {
  /// Wait before the first restart; doubles with each one that follows.
  absl::Duration first_backoff = absl::Milliseconds(200);
  absl::Duration max_backoff = absl::Seconds(15);
  /// A process that lived this long was well: its next restart waits first_backoff again.
  absl::Duration healthy_after = absl::Seconds(30);
};

/// How long to wait before each restart. A value without a clock: the caller says how long the
/// process lived. No jitter, since each supervisor has its own few children.
class Backoff {
 public:
  explicit Backoff(const RestartOptions& options) : options_(options) {}

  /// The wait before the restart of a process that ended after `lived`.
  absl::Duration Next(absl::Duration lived);

 private:
  const RestartOptions options_;
  absl::Duration current_ = absl::ZeroDuration();
};

struct SupervisorOptions {
  RestartOptions restart = {};
  /// Between SIGTERM and SIGKILL when a child is stopped.
  absl::Duration stop_grace = absl::Seconds(10);
};

/// What happened to a child, for a log line or a person.
struct SupervisorEvent {
  enum class Kind { kStarted, kExited, kStartFailed };
  Kind kind = Kind::kStarted;
  std::string name;
  /// kStarted.
  int64_t pid = 0;
  /// kExited.
  std::optional<ProcessExit> exit;
  /// kStartFailed.
  absl::Status error;
  /// kExited and kStartFailed: the wait before the next start.
  absl::Duration restart_in = absl::ZeroDuration();
};

/// Keeps a set of processes running: starts each again, with growing waits, when it ends. Any
/// thread may call.
class Supervisor {
 public:
  /// Called for one event at a time; must not call the supervisor.
  using OnEvent = std::function<void(const SupervisorEvent&)>;

  /// `launcher` and `clock` outlive the supervisor.
  Supervisor(ProcessLauncher& launcher, const Clock& clock, SupervisorOptions options,
             OnEvent on_event = nullptr);
  /// Stops what still runs.
  ~Supervisor();

  /// Starts a process and keeps it running. Errors: kAlreadyExists (the name), those of Launch
  /// (the first start is not tried again: a wrong path should be seen).
  absl::Status Start(const std::string& name, const ProcessSpec& spec);

  /// Stops one: SIGTERM, then SIGKILL to its group after the grace. Returns when it has ended.
  /// Errors: kNotFound.
  absl::Status Stop(const std::string& name);

  /// Stops all, the last started first, each before the next.
  void StopAll();

  struct ChildState {
    std::string name;
    /// 0 while it waits for its restart.
    int64_t pid = 0;
    int restarts = 0;
  };
  /// In the order of Start.
  std::vector<ChildState> Children() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROCESS_SUPERVISOR_H_
