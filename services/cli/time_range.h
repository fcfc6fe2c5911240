#ifndef SLIPWAY_SERVICES_CLI_TIME_RANGE_H_
#define SLIPWAY_SERVICES_CLI_TIME_RANGE_H_

#include <string>

#include "CLI/App.hpp"
#include "common/status/status.h"
#include "services/cli/api.h"

namespace slipway::cli {

/// --since and --until: a moment (RFC 3339), a day, or how long ago ("720h").
struct TimeRange {
  std::string since;
  std::string until;

  void AddOptions(CLI::App& command);
  /// As startTime and endTime. Errors: InvalidField.
  absl::Status AddTo(Query& query) const;
};

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_TIME_RANGE_H_
