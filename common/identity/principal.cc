#include "common/identity/principal.h"

#include <algorithm>

namespace slipway {

bool Includes(Role have, Role need) {
  if (have > Role::kOperator) return false;  // a number that is no role
  switch (need) {
    case Role::kNone:
      return false;
    case Role::kViewer:
    case Role::kCaller:
      return have == need || have >= Role::kDeveloper;
    case Role::kDeveloper:
    case Role::kOwner:
    case Role::kOperator:
      return have >= need;
  }
  return false;
}

bool Principal::MayAccess(std::string_view tenant_id) const {
  return role == Role::kOperator || (!tenant.empty() && tenant == tenant_id);
}

bool Principal::InScope(std::string_view name) const {
  if (scopes.empty()) return true;
  return std::any_of(scopes.begin(), scopes.end(), [&](const std::string& scope) {
    return name.starts_with(scope) && (name.size() == scope.size() || name[scope.size()] == '/');
  });
}

}  // namespace slipway
