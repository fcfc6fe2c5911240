#ifndef SLIPWAY_COMMON_HTTP_SERVER_REQUEST_ID_H_
#define SLIPWAY_COMMON_HTTP_SERVER_REQUEST_ID_H_

#include <string>

namespace slipway::http {

/// 48 bits of time (milliseconds since 1970) and 80 random ones, as 32 hex digits: ids of one time
/// lie together in an index, as in a version 7 UUID (RFC 9562). Any thread.
std::string NewRequestId();

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_REQUEST_ID_H_
