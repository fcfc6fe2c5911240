#include "services/gateway/identity/tenant_purge_client.h"

#include <future>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/names/names.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/proto_utils.h"

namespace slipway::gateway {
namespace {

using identity::v1::PurgeTenantRequest;
using identity::v1::PurgeTenantResponse;

// A registry that has more to remove goes on with the next call.
constexpr absl::Duration kTimeout = absl::Seconds(30);

}  // namespace

TenantKeeper ServiceKeeper(ServiceId service, std::string method,
                           std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                           const Clock& clock) {
  using Stub = grpc::TemplatedGenericStub<PurgeTenantRequest, PurgeTenantResponse>;
  auto stub = std::make_shared<Stub>(std::move(channel));
  return {std::string(ServiceName(service)),
          [service, method = std::move(method), stub = std::move(stub), &tokens, &clock](
              const std::string& tenant, bool remove) -> absl::StatusOr<PurgeTenantResponse> {
            Principal principal;
            principal.role = Role::kOperator;
            ASSIGN_OR_RETURN(const std::string token, tokens.Issue(principal, service));
            grpc::ClientContext context;
            PrepareContext(context, {.token = token,
                                     .request_id = {},
                                     .deadline = clock.Now() + kTimeout,
                                     .wait_for_ready = false});
            PurgeTenantRequest request;
            request.set_tenant(TenantName{tenant}.ToString());
            request.set_remove(remove);
            PurgeTenantResponse response;
            std::promise<grpc::Status> answered;
            stub->UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                            [&](const grpc::Status& status) { answered.set_value(status); });
            RETURN_IF_ERROR(FromGrpcStatus(answered.get_future().get()));
            return response;
          }};
}

}  // namespace slipway::gateway
