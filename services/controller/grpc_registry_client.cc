#include "services/controller/grpc_registry_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "common/grpc/status.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway::controller {

struct GrpcRegistryClient::Impl {
  std::unique_ptr<registry::v1::RegistryService::Stub> stub;
};

absl::StatusOr<std::unique_ptr<GrpcRegistryClient>> GrpcRegistryClient::Create(
    const ChannelOptions& options, TokenIssuer& issuer, const Clock& clock) {
  ASSIGN_OR_RETURN(auto channel, OpenChannel(options));
  auto impl = std::make_unique<Impl>();
  impl->stub = registry::v1::RegistryService::NewStub(channel);
  return std::unique_ptr<GrpcRegistryClient>(
      new GrpcRegistryClient(std::move(impl), issuer, clock));
}

GrpcRegistryClient::GrpcRegistryClient(std::unique_ptr<Impl> impl, TokenIssuer& issuer,
                                       const Clock& clock)
    : impl_(std::move(impl)), issuer_(issuer), clock_(clock) {}

GrpcRegistryClient::~GrpcRegistryClient() = default;

absl::StatusOr<registry::v1::ModelVersion> GrpcRegistryClient::GetModelVersion(
    const Principal& who, const VersionReference& reference) {
  Principal principal = who;
  principal.caller = ServiceId::kController;
  ASSIGN_OR_RETURN(const std::string token, issuer_.Issue(principal, ServiceId::kRegistry));
  grpc::ClientContext context;
  PrepareContext(context, {.token = token, .deadline = clock_.Now() + kCallTimeout});
  registry::v1::GetModelVersionRequest request;
  request.set_name(reference.ToString());
  registry::v1::ModelVersion response;
  RETURN_IF_ERROR(FromGrpcStatus(impl_->stub->GetModelVersion(&context, request, &response)));
  return response;
}

}  // namespace slipway::controller
