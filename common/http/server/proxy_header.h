#ifndef SLIPWAY_COMMON_HTTP_SERVER_PROXY_HEADER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_PROXY_HEADER_H_

#include <cstddef>
#include <optional>
#include <string_view>

#include "common/net/network.h"

namespace slipway::http {

/// The header of PROXY protocol version 2, with which a proxy begins a connection that it makes on
/// behalf of another (haproxy's proxy-protocol.txt, 2.2). Version 1, which is text, is not read.
struct ProxyHeader {
  enum class Result {
    kNone,       ///< The connection begins with something else.
    kMore,       ///< More is to come: `size` bytes in all, as far as is known.
    kMalformed,  ///< Or longer than a proxy has reason for.
    kDone        ///< The header has `size` bytes.
  };
  Result result;
  size_t size = 0;
  /// With kDone, who called the proxy. Nothing where the connection is its own (LOCAL), or where
  /// it does not say by an IP address and TCP. What else it says (TLVs) is passed over.
  std::optional<IpAddress> source = {};
};

/// What the header begins with. No request and no TLS handshake does.
inline constexpr std::string_view kProxySignature("\r\n\r\n\0\r\nQUIT\n", 12);

/// Reads the header in `begin`, what came of a connection so far.
ProxyHeader ReadProxyHeader(std::string_view begin);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_PROXY_HEADER_H_
