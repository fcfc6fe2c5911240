#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_PREDICTIONS_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_PREDICTIONS_H_

#include <memory>
#include <string_view>

#include "absl/strings/cord.h"
#include "common/http/grpc/frames.h"
#include "common/status/status.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/routing/route_table.h"

// What calls and streams of predictions over gRPC have in common.
namespace slipway::gateway {

/// What the caller names as `model`. Another tenant's model, an absent one and an absent version
/// are told alike: kNotFound.
absl::StatusOr<std::shared_ptr<const Endpoint>> FindEndpoint(const Routes& routes,
                                                             const KnownKey& key,
                                                             std::string_view model,
                                                             std::string_view version);
absl::Status NoSuchModel(std::string_view model, std::string_view version);

/// A message's bytes, not copied: whatever refers to them keeps them.
absl::Cord ToCord(http::grpc::Message message);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_PREDICTIONS_H_
