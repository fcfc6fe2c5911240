#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_MODEL_PATH_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_MODEL_PATH_H_

#include <optional>
#include <string>
#include <string_view>

#include "common/names/names.h"

namespace slipway::gateway {

/// "/v2/models/<name>[/versions/<version>][/<verb>]"
struct ModelPath {
  std::string name;
  std::string version;  ///< empty: the path names none
  std::string verb;     ///< empty: the model itself

  /// Nothing for any other path, and for names that no model can have.
  static std::optional<ModelPath> Parse(std::string_view path);
};

/// "/v2/repository/models/<deployment's full name>/<verb>"
struct RepositoryPath {
  DeploymentName deployment;
  std::string verb;

  static std::optional<RepositoryPath> Parse(std::string_view path);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_MODEL_PATH_H_
