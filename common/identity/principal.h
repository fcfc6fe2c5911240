#ifndef SLIPWAY_COMMON_IDENTITY_PRINCIPAL_H_
#define SLIPWAY_COMMON_IDENTITY_PRINCIPAL_H_

#include <string>
#include <string_view>
#include <vector>

namespace slipway {

/// What a principal may do; numbers are those of slipway.options.v1.Role.
enum class Role { kNone = 0, kViewer = 1, kCaller = 2, kDeveloper = 3, kOwner = 4, kOperator = 5 };

/// Who makes an internal call; numbers are those of slipway.options.v1.Service.
enum class ServiceId {
  kNone = 0,
  kGateway = 1,
  kRegistry = 2,
  kTraining = 3,
  kTrainer = 4,
  kController = 5,
  kWorker = 6,
};

/// True where `have` may do what `need` asks: operator includes owner includes developer includes
/// caller and viewer; neither of the last two includes the other. A need of kNone is never met:
/// what needs no role does not ask.
bool Includes(Role have, Role need);

/// For whom something is done: an argument of every domain call, so that forgetting the tenant
/// does not compile. A value.
struct Principal {
  /// Tenant id; empty for the operator and for a service on its own behalf.
  std::string tenant{};
  /// Id of the key that was shown (never the key); empty for a service.
  std::string key_id{};
  Role role = Role::kNone;
  /// The service that made the call; kNone at the public door.
  ServiceId caller = ServiceId::kNone;
  /// Resource names that the token is limited to; empty: not limited.
  std::vector<std::string> scopes{};

  /// May this principal touch objects of `tenant_id` at all? The operator may, and a principal of
  /// the same tenant. A "no" is answered like an absent object.
  bool MayAccess(std::string_view tenant_id) const;

  /// Is `name` one of the scopes, or below one ("tenants/t/models/m" holds its versions)? True
  /// where there are no scopes.
  bool InScope(std::string_view name) const;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_PRINCIPAL_H_
