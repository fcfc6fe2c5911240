#ifndef SLIPWAY_TESTS_INTEGRATION_GRPC_WIRE_H_
#define SLIPWAY_TESTS_INTEGRATION_GRPC_WIRE_H_

#include <functional>
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

/// Calls a method that answers with a stream, and tells each message until its end.
absl::Status StreamBytes(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                         const std::string& request,
                         const std::function<void(const std::string&)>& told);

/// What the standard health service says: "SERVING", "NOT_SERVING", or the error.
std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_INTEGRATION_GRPC_WIRE_H_
