#include "services/gateway/relay/backends.h"

#include <utility>

#include "common/grpc/client.h"
#include "grpcpp/channel.h"

namespace slipway::gateway {

void Backends::Add(const std::string& service, std::shared_ptr<grpc::Channel> channel) {
  stubs_[service] = std::make_unique<grpc::GenericStub>(std::move(channel));
}

absl::Status Backends::Prepare(grpc::ClientContext& context, const std::string& service,
                               const Principal& principal, const std::string& request_id,
                               absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string token, tokens_.Issue(principal, ServiceByName(service)));
  PrepareContext(
      context,
      {.token = token, .request_id = request_id, .deadline = deadline, .wait_for_ready = false});
  return absl::OkStatus();
}

}  // namespace slipway::gateway
