#ifndef SLIPWAY_SERVICES_CLI_YAML_FILE_H_
#define SLIPWAY_SERVICES_CLI_YAML_FILE_H_

#include <string>

#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway::cli {

/// The one object that a YAML file holds; `what` is what it is called in messages ("spec"). Errors:
/// InvalidField, with the file and the place in it.
absl::StatusOr<nlohmann::json> ReadYamlFile(const std::string& path, const std::string& what);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_YAML_FILE_H_
