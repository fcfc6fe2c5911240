#ifndef SLIPWAY_SERVICES_CLI_UP_LOGS_H_
#define SLIPWAY_SERVICES_CLI_UP_LOGS_H_

#include <iosfwd>
#include <string>

#include "common/status/status.h"

namespace slipway::cli {

struct LogOptions {
  std::string data_dir;
  /// Only this service's; empty: all.
  std::string service;
  /// The newest so many lines.
  int lines = 100;
  /// Go on with what comes, until the process is stopped.
  bool follow = false;
  /// The JSON lines as they are, not text for a person.
  bool json = false;
};

/// Prints the services' logs, merged by time. Errors: kNotFound (no such data directory or
/// service).
absl::Status PrintLogs(const LogOptions& options, std::ostream& out);

/// One line of a log for a person: "12:04:05.123 registry  warning  blob_refused digest=...".
std::string ReadableLogLine(const std::string& service, const std::string& json_line);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_UP_LOGS_H_
