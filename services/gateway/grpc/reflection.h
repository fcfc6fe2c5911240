#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_REFLECTION_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_REFLECTION_H_

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/http/grpc/server_call.h"
#include "common/status/status.h"
#include "google/protobuf/descriptor.h"
#include "grpc/reflection/v1/reflection.pb.h"

namespace slipway::gateway {

/// grpc.reflection.v1.ServerReflection, and v1alpha, which is the same: what is served and what its
/// messages are, for tools like grpcurl. Any thread.
class ReflectionDoor {
 public:
  /// `descriptors`: a serialized google.protobuf.FileDescriptorSet; `services`: those that are
  /// served, by full name. Errors: kInternal (descriptors that are none).
  static absl::StatusOr<std::unique_ptr<ReflectionDoor>> Create(std::string_view descriptors,
                                                                std::set<std::string> services);

  /// False where there is no such method.
  bool Handle(const std::shared_ptr<http::grpc::ServerCall>& call, std::string_view method) const;

  /// One request of the stream.
  ::grpc::reflection::v1::ServerReflectionResponse Answer(
      const ::grpc::reflection::v1::ServerReflectionRequest& request) const;

 private:
  explicit ReflectionDoor(std::set<std::string> services) : services_(std::move(services)) {}

  void Next(const std::shared_ptr<http::grpc::ServerCall>& call) const;

  const std::set<std::string> services_;
  google::protobuf::DescriptorPool pool_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_REFLECTION_H_
