#ifndef SLIPWAY_SERVICES_GATEWAY_GATEWAY_H_
#define SLIPWAY_SERVICES_GATEWAY_GATEWAY_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/config.h"

namespace slipway::gateway {

/// The whole gateway: its database, journal, keys, routes and doors behind one listener. Any
/// thread.
class Gateway {
 public:
  /// Opens and starts everything, the listener last. `metrics` and `clock` outlive it.
  /// Errors name what could not be opened; kFailedPrecondition for a method table that declares
  /// something wrong, a missing pepper, a folder in use.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const GatewayConfig& config,
                                                        Metrics& metrics, const Clock& clock);
  /// Cuts what still runs. What was answered is in the journal, and on the disk.
  ~Gateway();

  /// The public listener: "127.0.0.1:41234".
  std::string address() const;
  int port() const;

  /// May traffic come? Keys and routes are known, and nothing is stopping.
  bool ready() const;

  /// Stops: not ready, waits for `drain_delay`, takes no new connections, lets what is under way
  /// end until `drain_timeout`. Returns how many requests it had to cut.
  int Drain();

 private:
  class Impl;
  explicit Gateway(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Makes another operator's key in the config's database, and hands it over in `admin_key_file`,
/// or on standard output where there is none.
absl::Status RecoverAdminKey(const GatewayConfig& config, const Clock& clock);

/// Compares the audit log in the config's database with its chains, their key and the heads that
/// were exported, and prints what it finds on standard output. Changes nothing; a gateway may run
/// meanwhile. Errors: kDataLoss (a row was altered, removed or put in, or a chain cut).
absl::Status VerifyAudit(const GatewayConfig& config);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GATEWAY_H_
