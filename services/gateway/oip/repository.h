#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_REPOSITORY_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_REPOSITORY_H_

#include <functional>
#include <memory>

#include "common/http/server/server.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/relay/inner_call.h"

namespace slipway::gateway {

/// The repository calls of the inference protocol that change something. They are calls of the
/// public API in other words, LoadDeployment and UnloadDeployment: audited, relayed to the
/// controller and kept by it like these. Both doors share it. Any thread.
class Repository {
 public:
  /// Answers the caller, whose call it keeps alive. Called once, perhaps on another thread.
  using Reply = std::function<void(const absl::Status&)>;

  /// `calls` outlive this.
  explicit Repository(InnerCalls& calls) : calls_(calls) {}

  /// Replies with OK once a worker is ready with the deployment.
  void Load(http::Exchange& exchange, std::shared_ptr<const KnownKey> key,
            const DeploymentName& deployment, Reply reply) const;
  /// Replies with OK once no call goes to it any more.
  void Unload(http::Exchange& exchange, std::shared_ptr<const KnownKey> key,
              const DeploymentName& deployment, Reply reply) const;

 private:
  InnerCalls& calls_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_REPOSITORY_H_
