#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_GRPC_DOOR_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_GRPC_DOOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/http/grpc/health.h"
#include "common/http/grpc/reflection.h"
#include "common/http/server/server.h"
#include "services/gateway/api/method_table.h"
#include "services/gateway/grpc/inference_door.h"
#include "services/gateway/relay/api_handler.h"

namespace slipway::gateway {

/// gRPC at the public door, beside REST on the same port: the public API by its own methods, the
/// Open Inference Protocol, health and reflection. Keys, roles, limits, rows and audit are those of
/// REST, by the same code. Any thread.
class GrpcDoor {
 public:
  using Key = std::shared_ptr<const KnownKey>;

  struct Options {
    InferenceDoor::Options inference;
    uint64_t max_api_message_bytes = 4 << 20;
    uint64_t max_infer_message_bytes = 32 << 20;
  };
  struct Parts {
    const MethodTable& methods;
    ApiHandler& api;
    InferenceDoor::Parts inference;
    /// The key of a request, or why it has none.
    std::function<absl::StatusOr<Key>(http::Exchange&)> authenticate;
  };

  /// `descriptors`: of all that is served (see DescriptorSetWithComments). All parts outlive the
  /// door. Errors: kInternal (descriptors that lack a service).
  static absl::StatusOr<std::unique_ptr<GrpcDoor>> Create(const Options& options,
                                                          const Parts& parts,
                                                          std::string_view descriptors);

  /// A request that http::grpc::IsGrpc().
  void Handle(std::shared_ptr<http::Exchange> exchange);

  /// Tells those who watch the health when it has changed; at the `end` that they must go. To be
  /// called every now and then.
  void Refresh(bool end = false) { health_.Refresh(end); }

 private:
  GrpcDoor(const Options& options, const Parts& parts, const std::set<std::string>& services,
           std::unique_ptr<http::grpc::Reflection> reflection);

  void Handle(std::shared_ptr<http::Exchange> exchange, const http::grpc::Call& call);
  void Refuse(http::Exchange& exchange, const absl::Status& status);

  const Options options_;
  const Parts parts_;
  RequestMetrics& other_;
  http::grpc::Health health_;
  const std::unique_ptr<http::grpc::Reflection> reflection_;
  InferenceDoor inference_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_GRPC_DOOR_H_
