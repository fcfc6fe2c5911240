#ifndef SLIPWAY_SERVICES_CLI_UP_PROBE_H_
#define SLIPWAY_SERVICES_CLI_UP_PROBE_H_

#include <string>

namespace slipway::cli {

/// Does the admin listener on the Unix socket `path` answer `GET /readyz` with 200? False also
/// where nobody listens or no answer comes within a second. Any thread.
bool IsReady(const std::string& path);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_UP_PROBE_H_
