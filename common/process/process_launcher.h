#ifndef SLIPWAY_COMMON_PROCESS_PROCESS_LAUNCHER_H_
#define SLIPWAY_COMMON_PROCESS_PROCESS_LAUNCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"

namespace slipway {

/// What to start.
struct ProcessSpec {
  /// Path of the program; not looked up in PATH.
  std::string program;
  /// Arguments after the program's own name.
  std::vector<std::string> args;
  /// Added to what is inherited, or all there is where `inherit_env` is false.
  std::map<std::string, std::string> env;
  bool inherit_env = true;
  /// Standard output and error are appended to this file (made 0600); empty: those of this
  /// process. Standard input is /dev/null.
  std::string log_file;
  /// Empty: this process's own.
  std::string working_dir;
  /// Upper limits (setrlimit); absent: as this process's own.
  std::optional<uint64_t> max_memory_bytes;  // RLIMIT_AS
  std::optional<uint64_t> max_open_files;    // RLIMIT_NOFILE
};

/// How a process ended: by exit(`code`), or by `signal` where that is not 0.
struct ProcessExit {
  int code = 0;
  int signal = 0;

  bool ok() const { return code == 0 && signal == 0; }
  /// "exited with code 3", "was killed by SIGKILL"
  std::string ToString() const;
};

/// A process that was started. Any thread. Dropping it does not end the process.
class Process {
 public:
  virtual ~Process() = default;

  /// Process id; kept after its end, though the number may then belong to another.
  virtual int64_t pid() const = 0;

  /// Sends `signal` to the process alone. Never reaches another process that took over the
  /// number. OK when it has ended already.
  virtual absl::Status Signal(int signal) = 0;

  /// Kills the process and its whole group (whatever it started and did not detach) at once.
  virtual void Kill() = 0;

  /// Waits for its end. Errors: kDeadlineExceeded; may be called again.
  virtual absl::StatusOr<ProcessExit> Wait(absl::Duration timeout = absl::InfiniteDuration()) = 0;
};

/// Starts programs: trainers, workers, and the services of `slipway up`. Any thread.
class ProcessLauncher {
 public:
  /// Called once when the process has ended, on a thread of the launcher; must not block for long.
  /// It may launch.
  using OnExit = std::function<void(const ProcessExit&)>;

  virtual ~ProcessLauncher() = default;

  /// Returns when the program runs (exec has succeeded).
  /// Errors: kNotFound or kPermissionDenied (the program, its folder or its log file),
  /// kResourceExhausted (no more processes), kInternal.
  virtual absl::StatusOr<std::unique_ptr<Process>> Launch(const ProcessSpec& spec,
                                                          OnExit on_exit = nullptr) = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROCESS_PROCESS_LAUNCHER_H_
