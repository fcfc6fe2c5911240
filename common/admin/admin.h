#ifndef SLIPWAY_COMMON_ADMIN_ADMIN_H_
#define SLIPWAY_COMMON_ADMIN_ADMIN_H_

#include <functional>
#include <memory>
#include <string>

#include "common/metrics/metrics.h"
#include "common/status/status.h"

namespace slipway {

/// A service's small listener for the people and programs that keep it running:
///
///   /healthz   200 with an empty body: the process lives
///   /readyz    200 or 503 with an empty body, as `ready` says
///   /metrics   Prometheus' text
///
/// and 404 for all else. It asks for no credentials, so it listens on loopback, on a Unix socket,
/// or inside a cluster.
class AdminServer {
 public:
  /// `address`: "unix:/path" or "host:port". `metrics` outlives the server; `ready` is called on
  /// its thread, at any time, and must not block.
  /// Errors: kInvalidArgument, kAlreadyExists (somebody listens there), kPermissionDenied.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const std::string& address,
                                                            const Metrics& metrics,
                                                            std::function<bool()> ready);
  ~AdminServer();

  /// What a client dials.
  std::string address() const;

 private:
  class Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_ADMIN_ADMIN_H_
