#ifndef SLIPWAY_COMMON_HTTP_URI_H_
#define SLIPWAY_COMMON_HTTP_URI_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status/status.h"

namespace slipway::http {

/// Decodes %XX (RFC 3986, 2.1). kInvalidArgument for a '%' without two hex digits and for an
/// encoded NUL. A '+' stays a '+'. Decode a path segment by segment, after splitting it at '/',
/// so that an encoded slash never becomes a separator.
absl::StatusOr<std::string> PercentDecode(std::string_view text);

/// Encodes all but unreserved characters (letters, digits, "-._~"): safe as one path segment and
/// as the name or value of a query parameter.
std::string PercentEncode(std::string_view text);

/// The parameters of a query string (without its '?') in their order, decoded; '+' is a space, as
/// in forms. kInvalidArgument as PercentDecode, naming the parameter.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseQuery(std::string_view query);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_URI_H_
