#ifndef SLIPWAY_COMMON_HTTP_UNIX_GET_H_
#define SLIPWAY_COMMON_HTTP_UNIX_GET_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace slipway::http {

/// The body of `GET path` from the listener on the Unix socket `socket_path`, where it answers
/// 200. Nothing where nobody listens, no byte comes for `patience`, the answer has another status
/// or is over 16 MB. For a service's admin listener; everything else goes through http/client,
/// which knows no Unix sockets. Blocking; any thread.
std::optional<std::string> UnixGet(const std::string& socket_path, std::string_view path,
                                   absl::Duration patience);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_UNIX_GET_H_
