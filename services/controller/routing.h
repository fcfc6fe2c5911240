#ifndef SLIPWAY_SERVICES_CONTROLLER_ROUTING_H_
#define SLIPWAY_SERVICES_CONTROLLER_ROUTING_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "common/metrics/latency_histogram.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "slipway/controller/v1/controller.pb.h"

// How a deployment's calls are served beside its weights. The gateways do it; here it is checked
// and kept. Pure.
namespace slipway::controller {

/// The policy of another deployment; null where there is none of that name.
using FindRouting = absl::FunctionRef<const v1::RoutingPolicy*(const DeploymentName&)>;

/// Errors: InvalidField(deployment.routing...), where a value makes no sense, another deployment is
/// absent or another tenant's, or the fallbacks would come back to `name`.
absl::Status CheckRouting(const DeploymentName& name, const v1::RoutingPolicy& policy,
                          FindRouting find);

/// What gateways saw of the copies of a deployment's calls; fields as v1::ShadowTraffic's.
struct ShadowTraffic {
  int64_t agreed = 0;
  int64_t differed = 0;
  int64_t failed = 0;
  int64_t skipped = 0;
  LatencyHistogram latency = {};
  LatencyHistogram original_latency = {};

  void Add(const ShadowTraffic& other);
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_ROUTING_H_
