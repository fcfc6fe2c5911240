#ifndef SLIPWAY_SERVICES_GATEWAY_ERROR_BODY_H_
#define SLIPWAY_SERVICES_GATEWAY_ERROR_BODY_H_

#include <string>
#include <string_view>

#include "common/http/message.h"
#include "common/http/server/server.h"
#include "common/status/status.h"

// What callers see of a failure. Messages of kInternal, kUnknown and kDataLoss stay in the log:
// the caller gets the request id to ask about.
namespace slipway::gateway {

/// The public API's one form:
/// `{"error":{"code":"NOT_FOUND","message":"...","field":"","requestId":"..."}}`.
/// Codes are the canonical ones, and STORAGE_FULL (507), TOO_LARGE (413), METHOD_NOT_ALLOWED (405),
/// INSUFFICIENT_QUOTA (429: the budget is used up).
http::Response ApiError(const absl::Status& status, std::string_view request_id);

/// The Open Inference Protocol's: `{"error":"..."}`, with its statuses: a full queue is 503 (the
/// caller's own limit 429), and what is not told apart is 400.
http::Response ProtocolError(const absl::Status& status, std::string_view request_id);
int ProtocolCode(const absl::Status& status);

/// OpenAI's: `{"error":{"message":"...","type":"...","param":null,"code":null}}`, and what its
/// SDKs go by: x-should-retry where another try of the same is in vain (or is not), and
/// retry-after-ms. They try anything from 500 on again, so that what is not here is 404, not 501.
http::Response OpenAiError(const absl::Status& status);

/// 405 with Allow, in the form that goes with `path`.
http::Response MethodNotAllowed(std::string_view path, std::string_view allow,
                                std::string_view request_id);

/// The one of the three forms that goes with `path`.
http::Response ErrorFor(std::string_view path, const absl::Status& status,
                        std::string_view request_id);

/// What the listener answers by itself, in the same forms, or as a status of gRPC.
http::Response ListenerError(const http::ServerError& error);

/// "NOT_FOUND", ...
std::string_view ErrorCode(const absl::Status& status);

/// The message for the caller.
std::string CallersMessage(const absl::Status& status);

/// `{"error":{...}}` alone, as the last line of a stream that breaks off.
std::string ApiErrorJson(const absl::Status& status, std::string_view request_id);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ERROR_BODY_H_
