#ifndef SLIPWAY_SERVICES_CONTROLLER_DEPLOYMENT_STORE_H_
#define SLIPWAY_SERVICES_CONTROLLER_DEPLOYMENT_STORE_H_

#include <vector>

#include "common/status/status.h"
#include "services/controller/deployment.h"

namespace slipway::controller {

/// Where deployments are kept: the one home of what is wanted. SQL when the platform runs by
/// itself, the Kubernetes API in a cluster. One controller at a time writes. Any thread.
///
/// Each call that changes something has made it durable when it returns OK.
/// Errors of all: StorageFull, kUnavailable.
class DeploymentStore {
 public:
  virtual ~DeploymentStore() = default;

  /// Errors: kAlreadyExists (the name is taken).
  virtual absl::Status Create(const Deployment& deployment) = 0;

  /// Replaces all but the name. Errors: kNotFound.
  virtual absl::Status Update(const Deployment& deployment) = 0;

  /// OK where there is none of that name.
  virtual absl::Status Remove(const DeploymentName& name) = 0;

  /// By tenant and id. Errors: kDataLoss for a row that nobody of ours wrote.
  virtual absl::StatusOr<std::vector<Deployment>> All() = 0;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_DEPLOYMENT_STORE_H_
