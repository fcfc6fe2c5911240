#include "services/controller/deployment.h"

#include "fmt/format.h"

namespace slipway::controller {

absl::StatusOr<VersionReference> VersionReference::Parse(std::string_view field,
                                                         std::string_view name) {
  if (absl::StatusOr<VersionName> version = VersionName::Parse(field, name); version.ok()) {
    return VersionReference(*std::move(version));
  }
  if (absl::StatusOr<AliasName> alias = AliasName::Parse(field, name); alias.ok()) {
    return VersionReference(*std::move(alias));
  }
  return InvalidField(field, fmt::format("must look like tenants/*/models/*/versions/* or "
                                         "tenants/*/models/*/aliases/*, got \"{}{}\"",
                                         name.substr(0, 80), name.size() > 80 ? "..." : ""));
}

const std::string& VersionReference::tenant() const {
  return std::visit([](const auto& name) -> const std::string& { return name.model.tenant; },
                    name_);
}

std::optional<VersionName> VersionReference::Version() const {
  const auto* version = std::get_if<VersionName>(&name_);
  return version == nullptr ? std::nullopt : std::optional(*version);
}

std::string VersionReference::ToString() const {
  return std::visit([](const auto& name) { return name.ToString(); }, name_);
}

std::string WorkerId::ToString() const { return fmt::format("{}-{}", pool, index); }

}  // namespace slipway::controller
