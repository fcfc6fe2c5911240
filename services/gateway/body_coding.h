#ifndef SLIPWAY_SERVICES_GATEWAY_BODY_CODING_H_
#define SLIPWAY_SERVICES_GATEWAY_BODY_CODING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/coding.h"
#include "common/http/message.h"
#include "common/http/server/server.h"
#include "common/status/status.h"

// Compressed bodies, the same way at every door.
namespace slipway::gateway {

/// How a request's body is compressed. Nothing where that is not understood: a coding of another
/// name, or one upon another.
std::optional<http::Coding> BodyCoding(const http::Headers& headers);

/// 415, in the form that goes with the path. `accepted`: "gzip, identity".
http::Response CodingNotTaken(const http::RequestHead& head, std::string_view accepted);

/// What a body stands for: at most `max_bytes`, and no more for each byte that came than
/// http::DecodeLimits has it. Errors: kInvalidArgument, TooLarge.
absl::StatusOr<std::string> DecodeBody(const http::Headers& headers, std::string body,
                                       uint64_t max_bytes);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BODY_CODING_H_
