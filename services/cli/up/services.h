#ifndef SLIPWAY_SERVICES_CLI_UP_SERVICES_H_
#define SLIPWAY_SERVICES_CLI_UP_SERVICES_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/process/process_launcher.h"
#include "services/cli/up/data_directory.h"

// What `slipway up` starts, and with which settings: the embedded defaults in one place.
namespace slipway::cli {

/// The public sides, "127.0.0.1:8080".
struct Addresses {
  std::string api;
  std::string metrics;
};

/// In the order in which they start; they stop in the reverse one.
const std::vector<std::string>& ServiceNames();

/// File name of a service's admin socket in the run folder.
std::string AdminSocket(std::string_view service);

/// Where the gateway leaves the first operator's key for its parent.
std::string AdminKeyFile(const DataDirectory& directory);

/// How to start a service. Errors: kNotFound (its program is not beside this one).
absl::StatusOr<ProcessSpec> SpecOf(const std::string& service, const DataDirectory& directory,
                                   const Addresses& addresses);

/// How to make another operator key with the platform stopped; it comes in AdminKeyFile.
absl::StatusOr<ProcessSpec> RecoverySpec(const DataDirectory& directory);

/// How to check the audit log; it prints what it finds.
absl::StatusOr<ProcessSpec> VerificationSpec(const DataDirectory& directory);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_UP_SERVICES_H_
