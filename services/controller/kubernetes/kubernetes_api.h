#ifndef SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_API_H_
#define SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_API_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/http/client/client.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "nlohmann/json_fwd.hpp"
#include "services/controller/kubernetes/kubernetes_config.h"

namespace slipway::controller {

/// The objects of one namespace's core group (api/v1), by the API server's REST. Calls block for at
/// most ten seconds. Any thread.
///
/// Errors of all: kUnavailable (the server cannot be reached, or wants to be asked again later),
/// kPermissionDenied, kNotFound, kAlreadyExists, kAborted (another object of that name by now),
/// kInvalidArgument (the object is refused); with the server's words.
class KubernetesApi {
 public:
  explicit KubernetesApi(KubernetesConfig config) : config_(std::move(config)) {}

  const std::string& namespace_name() const { return config_.namespace_name; }

  /// `kind` as in paths: "pods".
  absl::StatusOr<nlohmann::json> Get(const std::string& kind, const std::string& name);

  /// Those that have all of these labels ("a=b,c=d").
  absl::StatusOr<std::vector<nlohmann::json>> List(const std::string& kind,
                                                   const std::string& labels);

  absl::Status Create(const std::string& kind, const nlohmann::json& object);

  /// Begins to delete the object that has this uid. `grace`: what it is given to end; absent: what
  /// it says itself; zero: it is gone at once, whatever its process does.
  absl::Status Delete(const std::string& kind, const std::string& name, const std::string& uid,
                      std::optional<absl::Duration> grace);

 private:
  absl::StatusOr<nlohmann::json> Call(const std::string& method, const std::string& target,
                                      const nlohmann::json& body);
  std::string PathOf(const std::string& kind) const;

  const KubernetesConfig config_;
  // Made anew after a failure: the authority may have changed.
  Mutex mutex_;
  std::shared_ptr<const http::Client> client_ GUARDED_BY(mutex_);
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_API_H_
