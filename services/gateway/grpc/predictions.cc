#include "services/gateway/grpc/predictions.h"

#include <utility>

#include "fmt/format.h"

namespace slipway::gateway {
namespace {

// How much of a caller's own text an error repeats.
constexpr size_t kMaxEcho = 100;

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

absl::Status NoSuchModel(std::string_view model, std::string_view version) {
  model = model.substr(0, kMaxEcho);
  version = version.substr(0, kMaxEcho);
  return NotFound(version.empty() ? fmt::format("model {}", model)
                                  : fmt::format("model {} version {}", model, version));
}

absl::Cord ToCord(http::grpc::Message message) {
  const auto held = std::make_shared<const http::grpc::Message>(std::move(message));
  const std::string_view bytes = held->view();
  return absl::MakeCordFromExternal({bytes.data(), bytes.size()}, [held] {});
}

}  // namespace slipway::gateway
