#ifndef SLIPWAY_SERVICES_CONTROLLER_CONTROLLER_SERVICE_H_
#define SLIPWAY_SERVICES_CONTROLLER_CONTROLLER_SERVICE_H_

#include <memory>

#include "common/grpc/edge.h"
#include "services/controller/controller.h"
#include "services/controller/route_board.h"

namespace grpc {
class Service;
}

namespace slipway::controller {

/// The controller's gRPC service (slipway.controller.v1.ControllerService).
class ControllerService {
 public:
  /// All outlive the service. Errors: those of ServiceEdge::Create.
  static absl::StatusOr<std::unique_ptr<ControllerService>> Create(Controller& controller,
                                                                   RouteBoard& board,
                                                                   const TokenVerifier& verifier,
                                                                   Metrics& metrics,
                                                                   const Clock& clock);
  ~ControllerService();

  /// For GrpcServer::Start.
  grpc::Service* service();

 private:
  class Impl;
  explicit ControllerService(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_CONTROLLER_SERVICE_H_
