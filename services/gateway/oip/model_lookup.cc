#include "services/gateway/oip/model_lookup.h"

#include "fmt/format.h"

namespace slipway::gateway {
namespace {

// How much of a caller's own text an error repeats: the longest name of a deployment fits.
constexpr size_t kMaxEcho = 160;

absl::Status NoSuchModel(std::string_view model, std::string_view version) {
  model = model.substr(0, kMaxEcho);
  version = version.substr(0, kMaxEcho);
  return NotFound(version.empty() ? fmt::format("model {}", model)
                                  : fmt::format("model {} version {}", model, version));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Endpoint>> FindEndpoint(const Routes& routes,
                                                             const KnownKey& key,
                                                             std::string_view model,
                                                             std::string_view version) {
  auto endpoint = routes.Get()->Find(key.principal.tenant, model);
  if (endpoint == nullptr || (!version.empty() && endpoint->Choose(version, 0) == nullptr)) {
    return NoSuchModel(model, version);
  }
  return endpoint;
}

absl::Status CheckLoaded(const Routes& routes, const DeploymentName& deployment) {
  const auto endpoint = routes.Get()->Find(deployment.tenant, deployment.id);
  if (endpoint == nullptr) return NoSuchModel(deployment.ToString(), "");
  const Target* target = endpoint->Choose("", 0);
  if (target == nullptr || target->workers.empty()) return NoWorker();
  return absl::OkStatus();
}

absl::Status NoWorker() {
  return absl::UnavailableError("no worker is ready with this model; try again");
}

absl::Status NoCaller() {
  return absl::PermissionDeniedError("this key's role does not call models");
}

absl::Status NotTheOperators() {
  return absl::PermissionDeniedError("the repository is the operator's");
}

absl::Status StaysLoaded() {
  return absl::UnimplementedError(
      "a deployment stays loaded as long as it exists: delete it instead");
}

}  // namespace slipway::gateway
