#ifndef SLIPWAY_COMMON_HTTP_STATUS_HEADERS_H_
#define SLIPWAY_COMMON_HTTP_STATUS_HEADERS_H_

#include "common/http/message.h"
#include "common/status/status.h"

namespace slipway::http {

/// What an answer with this status says in its head (in gRPC: beside its status), whichever door it
/// goes out by: Retry-After and the like. Replaces what was set before.
void SetHeaders(absl::Status& status, const Headers& headers);
Headers HeadersOf(const absl::Status& status);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_STATUS_HEADERS_H_
