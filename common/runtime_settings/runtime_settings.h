#ifndef SLIPWAY_COMMON_RUNTIME_SETTINGS_RUNTIME_SETTINGS_H_
#define SLIPWAY_COMMON_RUNTIME_SETTINGS_RUNTIME_SETTINGS_H_

#include <string_view>

#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/worker/v1/worker.pb.h"

namespace slipway {

/// Do the settings make sense, whichever machine they are for? The controller asks before it keeps
/// them, and a worker before it loads. Errors: InvalidField below `field` ("deployment.runtime").
absl::Status CheckRuntimeSettings(const worker::v1::RuntimeSettings& settings,
                                  std::string_view field);

/// Do the platform's trainer or the operator vouch for the version's files? Only such versions run
/// in one process with those of other tenants. What says nothing of its origin is not vouched for.
bool IsVouchedFor(const registry::v1::ModelVersion& version);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_RUNTIME_SETTINGS_RUNTIME_SETTINGS_H_
