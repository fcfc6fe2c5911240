#ifndef SLIPWAY_COMMON_IDENTITY_TENANT_CONTENT_H_
#define SLIPWAY_COMMON_IDENTITY_TENANT_CONTENT_H_

#include <string>
#include <string_view>
#include <vector>

#include "slipway/identity/v1/purge.pb.h"

namespace slipway {

/// Adds one kind of what a tenant has to the answer of a service's PurgeTenant. `names` in any
/// order.
void AddKind(std::string_view kind, std::vector<std::string> names,
             identity::v1::PurgeTenantResponse& content);

/// Is there nothing of any kind?
bool IsEmpty(const identity::v1::PurgeTenantResponse& content);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_TENANT_CONTENT_H_
