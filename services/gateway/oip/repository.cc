#include "services/gateway/oip/repository.h"

#include <utility>

#include "slipway/controller/v1/controller.pb.h"

namespace slipway::gateway {
namespace {

template <class Request>
Request Named(const DeploymentName& deployment) {
  Request request;
  request.set_name(deployment.ToString());
  return request;
}

auto StatusTo(Repository::Reply reply) {
  return
      [reply = std::move(reply)](const absl::StatusOr<const controller::v1::Deployment*>& answer) {
        reply(answer.status());
      };
}

}  // namespace

void Repository::Load(http::Exchange& exchange, std::shared_ptr<const KnownKey> key,
                      const DeploymentName& deployment, Reply reply) const {
  calls_.Call<controller::v1::Deployment>(
      "DeploymentService/LoadDeployment", exchange, std::move(key),
      Named<controller::v1::LoadDeploymentRequest>(deployment), StatusTo(std::move(reply)));
}

void Repository::Unload(http::Exchange& exchange, std::shared_ptr<const KnownKey> key,
                        const DeploymentName& deployment, Reply reply) const {
  calls_.Call<controller::v1::Deployment>(
      "DeploymentService/UnloadDeployment", exchange, std::move(key),
      Named<controller::v1::UnloadDeploymentRequest>(deployment), StatusTo(std::move(reply)));
}

}  // namespace slipway::gateway
