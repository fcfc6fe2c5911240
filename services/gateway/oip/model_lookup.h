#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_MODEL_LOOKUP_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_MODEL_LOOKUP_H_

#include <memory>
#include <string_view>

#include "common/http/message.h"
#include "common/http/server/server.h"
#include "common/status/status.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/routing/route_table.h"
#include "services/gateway/usage/refusals.h"

// Which model a caller means, and the refusals that both doors of the inference protocol, REST and
// gRPC, put in the same words. Any thread.
namespace slipway::gateway {

/// What the caller names as `model`. Another tenant's model, one that the key may not call, an
/// absent one and an absent version are told alike: kNotFound. kUnavailable before the first table.
absl::StatusOr<std::shared_ptr<const Endpoint>> FindEndpoint(const Routes& routes,
                                                             const KnownKey& key,
                                                             std::string_view model,
                                                             std::string_view version);

absl::Status NoWorker();

/// What keeps the calls of one caller at one worker: the value of the endpoint's sticky header,
/// empty where it has none. Lives as long as the headers.
std::string_view StickyValue(const Endpoint& endpoint, const http::Headers& headers);

/// kPermissionDenied, which is counted and audited, where the key's role does not call models, or
/// is not the operator's, whose the repository is.
absl::Status CheckMayCall(const KnownKey& key, const http::RequestHead& head,
                          GatewayMetrics& metrics, Refusals& refusals);
absl::Status CheckMayManage(const KnownKey& key, const http::RequestHead& head,
                            GatewayMetrics& metrics, Refusals& refusals);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_MODEL_LOOKUP_H_
