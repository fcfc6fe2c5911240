#ifndef SLIPWAY_SERVICES_CLI_UP_PLATFORM_H_
#define SLIPWAY_SERVICES_CLI_UP_PLATFORM_H_

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"

namespace slipway::cli {

struct UpOptions {
  /// Empty: DataDirectory::DefaultPath().
  std::string data_dir;
  /// 0: any free one, chosen once and kept through restarts.
  int port = 8080;
  int metrics_port = 9090;
  /// Appears when everything answers, goes when the platform stops; empty: none.
  std::string ready_file;
};

/// Runs the whole platform on this machine until SIGINT or SIGTERM: registry, training,
/// controller and gateway as child processes, each started again when it ends. Writes what a
/// person needs to `out`. Blocking; once a process.
/// Errors: kFailedPrecondition (the data directory is in use or too new, a port is taken),
/// kUnavailable (a service did not become ready).
absl::Status RunPlatform(const UpOptions& options, std::ostream& out);

struct ServiceState {
  std::string name;
  int64_t pid = 0;
  int restarts = 0;
  bool ready = false;
};
struct PlatformState {
  std::string data_dir;
  int64_t pid = 0;
  std::string address;
  std::string metrics;
  std::vector<ServiceState> services;
};

/// What runs on the data directory. Errors: kUnavailable where nothing does.
absl::StatusOr<PlatformState> GetPlatformState(const std::string& data_dir);

/// Asks the platform on the data directory to stop, and waits until it has.
/// Errors: kUnavailable (nothing runs), kDeadlineExceeded.
absl::Status StopPlatform(const std::string& data_dir, absl::Duration limit);

/// Makes another operator key for a stopped platform, and returns it.
/// Errors: kFailedPrecondition while it runs, kNotFound where there is no platform.
absl::StatusOr<std::string> RecoverAdminKey(const std::string& data_dir);

/// Checks the audit log of the platform on the data directory, which may run, and prints what it
/// finds on standard output. Errors: kNotFound where there is no platform; kDataLoss where the log
/// was tampered with or cannot be read.
absl::Status VerifyAudit(const std::string& data_dir);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_UP_PLATFORM_H_
