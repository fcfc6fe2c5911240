#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_PURGE_CLIENT_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_PURGE_CLIENT_H_

#include <memory>
#include <string>

#include "common/identity/token.h"
#include "common/time/clock.h"
#include "services/gateway/identity/tenant_deleter.h"

namespace grpc {
class Channel;
}

namespace slipway::gateway {

/// A service's PurgeTenant, `method` being "/slipway.registry.v1.RegistryService/PurgeTenant".
/// `tokens` and `clock` outlive the keeper.
TenantKeeper ServiceKeeper(ServiceId service, std::string method,
                           std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                           const Clock& clock);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_PURGE_CLIENT_H_
