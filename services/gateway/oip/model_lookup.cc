#include "services/gateway/oip/model_lookup.h"

#include "fmt/format.h"
#include "services/gateway/refusal_of.h"

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

absl::Status CheckRole(const KnownKey& key, Role needed, const http::RequestHead& head,
                       GatewayMetrics& metrics, Refusals& refusals, const char* otherwise) {
  if (Includes(key.principal.role, needed)) return absl::OkStatus();
  metrics.CountRefusal("role");
  refusals.Count(RefusalOf("role", 403, head, &key.principal));
  return absl::PermissionDeniedError(otherwise);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Endpoint>> FindEndpoint(const Routes& routes,
                                                             const KnownKey& key,
                                                             std::string_view model,
                                                             std::string_view version) {
  const std::shared_ptr<const RouteTable> table = routes.Get();
  if (!table->known()) {
    return absl::UnavailableError("this gateway does not know its models yet; try again");
  }
  auto endpoint = key.MayCall(model) ? table->Find(key.principal.tenant, model) : nullptr;
  if (endpoint == nullptr || (!version.empty() && endpoint->Choose(version, 0) == nullptr)) {
    return NoSuchModel(model, version);
  }
  return endpoint;
}

absl::Status NoWorker() {
  return absl::UnavailableError("no worker is ready with this model; try again");
}

std::string_view StickyValue(const Endpoint& endpoint, const http::Headers& headers) {
  return endpoint.sticky_header.empty() ? "" : headers.Get(endpoint.sticky_header);
}

absl::Status CheckMayCall(const KnownKey& key, const http::RequestHead& head,
                          GatewayMetrics& metrics, Refusals& refusals) {
  return CheckRole(key, Role::kCaller, head, metrics, refusals,
                   "this key's role does not call models");
}

absl::Status CheckMayManage(const KnownKey& key, const http::RequestHead& head,
                            GatewayMetrics& metrics, Refusals& refusals) {
  return CheckRole(key, Role::kOperator, head, metrics, refusals,
                   "the repository is the operator's");
}

}  // namespace slipway::gateway
