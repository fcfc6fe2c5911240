#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_REPORTER_CLIENT_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_REPORTER_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/repeating_thread.h"
#include "common/time/clock.h"
#include "services/gateway/routing/traffic.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace slipway::gateway {

/// Tells the controller what was counted, every `period`, by a thread of its own. What could not
/// be told is told the next time.
class TrafficReporter {
 public:
  struct Options {
    absl::Duration period = absl::Seconds(1);
    absl::Duration timeout = absl::Seconds(5);
  };
  /// The gateway's own token for the controller.
  using Token = std::function<absl::StatusOr<std::string>()>;

  /// `book` and `clock` outlive the reporter.
  TrafficReporter(std::shared_ptr<grpc::Channel> controller, Token token, TrafficBook& book,
                  const Clock& clock, const Options& options);

  void Start();

 private:
  absl::Status Report();

  const std::shared_ptr<grpc::Channel> controller_;
  const Token token_;
  TrafficBook& book_;
  const Clock& clock_;
  const Options options_;
  RepeatingThread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_TRAFFIC_REPORTER_CLIENT_H_
