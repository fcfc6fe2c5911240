#ifndef SLIPWAY_COMMON_HTTP_GRPC_REFLECTION_H_
#define SLIPWAY_COMMON_HTTP_GRPC_REFLECTION_H_

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/http/grpc/server_call.h"
#include "common/status/status.h"
#include "google/protobuf/descriptor.h"
#include "grpc/reflection/v1/reflection.pb.h"

namespace slipway::http::grpc {

/// grpc.reflection.v1.ServerReflection, and v1alpha, which is the same: what is served and what its
/// messages are, for tools like grpcurl. Any thread.
class Reflection {
 public:
  static constexpr std::string_view kService = "grpc.reflection.v1.ServerReflection";
  static constexpr std::string_view kOldService = "grpc.reflection.v1alpha.ServerReflection";

  /// `descriptors`: a serialized google.protobuf.FileDescriptorSet; `services`: those that are
  /// served, by full name. Errors: kInternal (descriptors that are none, or lack a service).
  static absl::StatusOr<std::unique_ptr<Reflection>> Create(std::string_view descriptors,
                                                            std::set<std::string> services);
  /// The same by the descriptors that are linked in.
  static absl::StatusOr<std::unique_ptr<Reflection>> Create(std::set<std::string> services);

  static bool IsService(std::string_view name) { return name == kService || name == kOldService; }

  /// False where there is no such method.
  bool Handle(const std::shared_ptr<ServerCall>& call, std::string_view method) const;

  /// One request of the stream.
  ::grpc::reflection::v1::ServerReflectionResponse Answer(
      const ::grpc::reflection::v1::ServerReflectionRequest& request) const;

 private:
  /// `own` may be null; `pool` is its content then, or outlives this.
  Reflection(std::unique_ptr<google::protobuf::DescriptorPool> own,
             const google::protobuf::DescriptorPool& pool, std::set<std::string> services)
      : own_(std::move(own)), pool_(pool), services_(std::move(services)) {}

  absl::Status Check() const;
  void Next(const std::shared_ptr<ServerCall>& call) const;

  const std::unique_ptr<google::protobuf::DescriptorPool> own_;
  const google::protobuf::DescriptorPool& pool_;
  const std::set<std::string> services_;
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_GRPC_REFLECTION_H_
