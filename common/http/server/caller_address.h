#ifndef SLIPWAY_COMMON_HTTP_SERVER_CALLER_ADDRESS_H_
#define SLIPWAY_COMMON_HTTP_SERVER_CALLER_ADDRESS_H_

#include <string>

#include "common/http/message.h"
#include "common/net/network.h"

namespace slipway::http {

/// Who sent a request that came from `peer`, one of `proxies`: each proxy adds at the end of
/// X-Forwarded-For who asked it, so that the last address that is none of `proxies` is the
/// caller's. What stands before it, the caller may have made up. Where all are proxies: the first
/// one. Where something is no address, nobody before it can be believed: whoever was asked by it.
std::string CallerAddress(const Networks& proxies, const std::string& peer, const Headers& headers);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_CALLER_ADDRESS_H_
