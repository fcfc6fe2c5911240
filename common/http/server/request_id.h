#ifndef SLIPWAY_COMMON_HTTP_SERVER_REQUEST_ID_H_
#define SLIPWAY_COMMON_HTTP_SERVER_REQUEST_ID_H_

#include <string>

namespace slipway::http {

/// 128 random bits as 32 hex digits. Any thread.
std::string NewRequestId();

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_REQUEST_ID_H_
