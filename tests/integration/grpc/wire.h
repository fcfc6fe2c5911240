#ifndef SLIPWAY_TESTS_INTEGRATION_GRPC_WIRE_H_
#define SLIPWAY_TESTS_INTEGRATION_GRPC_WIRE_H_

#include <memory>
#include <string>

#include "common/status/status.h"

namespace grpc {
class Channel;
}

namespace slipway {

/// Calls a unary method with a message's bytes and returns those of the first answer: for protos
/// that have no stubs here.
absl::StatusOr<std::string> CallWithBytes(const std::shared_ptr<grpc::Channel>& channel,
                                          const std::string& method, const std::string& request);

/// What the standard health service says: "SERVING", "NOT_SERVING", or the error.
std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_INTEGRATION_GRPC_WIRE_H_
