#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_REQUEST_KEY_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_REQUEST_KEY_H_

#include <string_view>

#include "common/http/message.h"
#include "common/status/status.h"

namespace slipway::gateway {

/// The key that a request carries, as `Authorization: Bearer <key>` or `x-api-key: <key>`: one
/// path for both, so that no check can be passed by choosing the other. The view is into
/// `headers`. Errors: kUnauthenticated (none; two that differ; another scheme).
absl::StatusOr<std::string_view> RequestKey(const http::Headers& headers);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_REQUEST_KEY_H_
