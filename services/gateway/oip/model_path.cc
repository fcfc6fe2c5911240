#include "services/gateway/oip/model_path.h"

#include <utility>
#include <vector>

#include "common/http/uri.h"

namespace slipway::gateway {

std::optional<ModelPath> ModelPath::Parse(std::string_view path) {
  constexpr std::string_view kPrefix = "/v2/models/";
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
    if (parts.size() > 4) return std::nullopt;
  }
  ModelPath parsed;
  size_t next = 1;
  if (parts.size() >= 3 && parts[1] == "versions") {
    parsed.version = parts[2];
    next = 3;
    if (parsed.version.empty() || parsed.version.size() > 20) return std::nullopt;
  }
  if (parts.size() > next + 1) return std::nullopt;
  if (parts.size() == next + 1) {
    parsed.verb = parts[next];
    if (parsed.verb.empty()) return std::nullopt;
  }
  auto name = http::PercentDecode(parts[0]);
  if (!name.ok() || !IsSlug(*name)) return std::nullopt;
  parsed.name = *std::move(name);
  return parsed;
}

std::optional<RepositoryPath> RepositoryPath::Parse(std::string_view path) {
  constexpr std::string_view kPrefix = "/v2/repository/models/";
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  // Clients send the name's slashes as they are, or encoded.
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto name = http::PercentDecode(path.substr(0, slash));
  if (!name.ok()) return std::nullopt;
  auto deployment = DeploymentName::Parse("name", *name);
  if (!deployment.ok()) return std::nullopt;
  return RepositoryPath{.deployment = *std::move(deployment),
                        .verb = std::string(path.substr(slash + 1))};
}

}  // namespace slipway::gateway
