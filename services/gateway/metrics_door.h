#ifndef SLIPWAY_SERVICES_GATEWAY_METRICS_DOOR_H_
#define SLIPWAY_SERVICES_GATEWAY_METRICS_DOOR_H_

#include <memory>
#include <string>
#include <vector>

#include "common/status/status.h"

namespace slipway::gateway {

/// One loopback port for the metrics of all services of a machine: GET /metrics asks each
/// service's admin socket and answers all together, each sample with the label service="<name>".
/// A service that does not answer within two seconds is left out, and
/// slipway_gateway_metrics_target_up says which. Any thread.
class MetricsDoor {
 public:
  /// `targets`: "<service>=unix:/path" each.
  /// Errors: kInvalidArgument, kAlreadyExists (somebody listens there).
  static absl::StatusOr<std::unique_ptr<MetricsDoor>> Start(
      const std::string& address, const std::vector<std::string>& targets);
  ~MetricsDoor();

  /// What a client dials.
  std::string address() const;

 private:
  class Impl;
  explicit MetricsDoor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_METRICS_DOOR_H_
