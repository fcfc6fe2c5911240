#include "common/identity/tenant_content.h"

#include <algorithm>

#include "common/crypto/hash.h"

namespace slipway {

void AddKind(std::string_view kind, std::vector<std::string> names,
             identity::v1::PurgeTenantResponse& content) {
  std::sort(names.begin(), names.end());
  Sha256 hash;
  for (const std::string& name : names) {
    hash.Update(name);
    hash.Update("\n");
  }
  identity::v1::PurgeTenantResponse::Kind& out = *content.add_kinds();
  out.set_kind(std::string(kind));
  out.set_count(static_cast<int64_t>(names.size()));
  out.set_names_sha256(hash.FinishHex());
}

bool IsEmpty(const identity::v1::PurgeTenantResponse& content) {
  return std::all_of(content.kinds().begin(), content.kinds().end(),
                     [](const auto& kind) { return kind.count() == 0; });
}

}  // namespace slipway
