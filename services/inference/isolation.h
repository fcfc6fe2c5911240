#ifndef SLIPWAY_SERVICES_INFERENCE_ISOLATION_H_
#define SLIPWAY_SERVICES_INFERENCE_ISOLATION_H_

#include <string>

#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::worker {

/// Whose models this process may load. A file that a tenant made may, by a fault of the runtime
/// that parses it, take the process over: so it is loaded where only that tenant's models are. One
/// that is code needs no fault: it is loaded where nothing else is.
struct Isolation {
  /// The only tenant of this process; empty: any.
  std::string tenant{};
  /// The only version; empty: any but those that are code.
  std::string model_version{};
  /// Without a tenant: are uploaded versions loaded all the same, beside those of others?
  bool share_uploaded = false;
};

/// May `version`, which is `tenant`'s, be loaded? Errors: kFailedPrecondition, which says why not.
absl::Status CheckIsolation(const Isolation& isolation, const std::string& tenant,
                            const slipway::registry::v1::ModelVersion& version);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_ISOLATION_H_
