#ifndef SLIPWAY_SERVICES_CONTROLLER_REGISTRY_CLIENT_H_
#define SLIPWAY_SERVICES_CONTROLLER_REGISTRY_CLIENT_H_

#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/controller/deployment.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::controller {

/// What the controller asks of the registry. Any thread.
class RegistryClient {
 public:
  virtual ~RegistryClient() = default;

  /// The version that `reference` names now, as `who`'s tenant sees it.
  /// Errors: kNotFound, kUnavailable, kDeadlineExceeded (after a few seconds).
  virtual absl::StatusOr<slipway::registry::v1::ModelVersion> GetModelVersion(
      const Principal& who, const VersionReference& reference) = 0;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_REGISTRY_CLIENT_H_
