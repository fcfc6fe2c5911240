#ifndef SLIPWAY_SERVICES_CONTROLLER_GRPC_REGISTRY_CLIENT_H_
#define SLIPWAY_SERVICES_CONTROLLER_GRPC_REGISTRY_CLIENT_H_

#include <memory>
#include <string>

#include "common/grpc/client.h"
#include "common/identity/token.h"
#include "common/time/clock.h"
#include "services/controller/registry_client.h"

namespace slipway::controller {

/// The registry over gRPC.
class GrpcRegistryClient final : public RegistryClient {
 public:
  static constexpr absl::Duration kCallTimeout = absl::Seconds(5);

  /// `issuer` (the controller's) and `clock` outlive the client. Errors: those of OpenChannel.
  static absl::StatusOr<std::unique_ptr<GrpcRegistryClient>> Create(const ChannelOptions& options,
                                                                    TokenIssuer& issuer,
                                                                    const Clock& clock);
  ~GrpcRegistryClient() override;

  absl::StatusOr<slipway::registry::v1::ModelVersion> GetModelVersion(
      const Principal& who, const VersionReference& reference) override;

 private:
  struct Impl;
  GrpcRegistryClient(std::unique_ptr<Impl> impl, TokenIssuer& issuer, const Clock& clock);

  const std::unique_ptr<Impl> impl_;
  TokenIssuer& issuer_;
  const Clock& clock_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_GRPC_REGISTRY_CLIENT_H_
