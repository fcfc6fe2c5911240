#ifndef SLIPWAY_COMMON_GRPC_METHOD_POLICY_H_
#define SLIPWAY_COMMON_GRPC_METHOD_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/grpc/edge.h"
#include "common/status/status.h"

// For the sources of this room only.
namespace slipway {

/// Who may call each method of a service, in the descriptor's order.
struct ServicePolicy {
  struct Method {
    std::string name;  // "GetModel"
    bool streams = false;
    uint32_t callers = 0;  // a bit for each ServiceId

    bool Allows(ServiceId caller) const {
      return (callers >> static_cast<uint32_t>(caller) & 1u) != 0;
    }
  };
  std::string service;    // "RegistryService"
  std::string full_name;  // "slipway.registry.v1.RegistryService"
  std::vector<Method> methods;
};

/// Errors: see ServiceEdge::Create and CreateWithPolicies.
absl::StatusOr<const google::protobuf::ServiceDescriptor*> FindService(std::string_view full_name);
absl::StatusOr<ServicePolicy> ReadPolicy(const google::protobuf::ServiceDescriptor& service);
absl::StatusOr<ServicePolicy> ApplyPolicies(const google::protobuf::ServiceDescriptor& service,
                                            const std::vector<MethodPolicy>& policies);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_METHOD_POLICY_H_
