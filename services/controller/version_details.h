#ifndef SLIPWAY_SERVICES_CONTROLLER_VERSION_DETAILS_H_
#define SLIPWAY_SERVICES_CONTROLLER_VERSION_DETAILS_H_

#include <vector>

#include "slipway/registry/v1/registry.pb.h"

namespace slipway::controller {

/// What the registry says of a version, which never changes.
struct VersionDetails {
  slipway::registry::v1::ModelVersion version;
  /// Of a pipeline: the versions that its steps name, each once.
  std::vector<slipway::registry::v1::ModelVersion> steps = {};
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_VERSION_DETAILS_H_
