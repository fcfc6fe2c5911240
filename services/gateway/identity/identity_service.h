#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_IDENTITY_SERVICE_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_IDENTITY_SERVICE_H_

#include <string>

#include "common/crypto/secret.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/identity/key_feed.h"
#include "services/gateway/identity/sql_identity_store.h"
#include "slipway/gateway/v1/identity.pb.h"

namespace slipway::gateway {

/// TenantService, ProjectService, ApiKeyService and AdminKeyService: what the public API does with
/// tenants, projects and keys. Any thread.
class IdentityService {
 public:
  /// `environment` is the one in new keys' text. The others outlive this.
  IdentityService(SqlIdentityStore& store, KeyFeed& feed, const Peppers& peppers,
                  std::string environment, const Clock& clock);

  void AddTo(LocalMethods& methods);

  // ---- Tenants and projects.

  absl::StatusOr<v1::Tenant> CreateTenant(const v1::CreateTenantRequest& request);
  absl::StatusOr<v1::Tenant> GetTenant(const v1::GetTenantRequest& request);
  absl::StatusOr<v1::ListTenantsResponse> ListTenants(const v1::ListTenantsRequest& request);
  absl::StatusOr<v1::Tenant> UpdateTenant(const v1::UpdateTenantRequest& request);
  /// Its keys are refused on this replica when this returns.
  absl::StatusOr<v1::Tenant> SuspendTenant(const v1::SuspendTenantRequest& request);
  absl::StatusOr<v1::Tenant> ResumeTenant(const v1::ResumeTenantRequest& request);

  absl::StatusOr<v1::Project> CreateProject(const v1::CreateProjectRequest& request);
  absl::StatusOr<v1::Project> GetProject(const v1::GetProjectRequest& request);
  absl::StatusOr<v1::ListProjectsResponse> ListProjects(const v1::ListProjectsRequest& request);
  /// Its keys are dead on this replica when this returns.
  absl::StatusOr<v1::Project> ArchiveProject(const v1::ArchiveProjectRequest& request);

  // ---- Keys. The answers of Create and Rotate hold the key's text, this once; a key that was
  // revoked is dead on this replica when Revoke returns.

  absl::StatusOr<v1::ApiKey> CreateApiKey(const Principal& who,
                                          const v1::CreateApiKeyRequest& request);
  absl::StatusOr<v1::ApiKey> GetApiKey(const v1::GetApiKeyRequest& request);
  absl::StatusOr<v1::ListApiKeysResponse> ListApiKeys(const v1::ListApiKeysRequest& request);
  absl::StatusOr<v1::ApiKey> RotateApiKey(const v1::RotateApiKeyRequest& request);
  absl::StatusOr<v1::ApiKey> RevokeApiKey(const v1::RevokeApiKeyRequest& request);

  absl::StatusOr<v1::ApiKey> CreateAdminKey(const v1::CreateAdminKeyRequest& request);
  absl::StatusOr<v1::ApiKey> GetAdminKey(const v1::GetAdminKeyRequest& request);
  absl::StatusOr<v1::ListAdminKeysResponse> ListAdminKeys(const v1::ListAdminKeysRequest& request);
  absl::StatusOr<v1::ApiKey> RotateAdminKey(const v1::RotateAdminKeyRequest& request);
  absl::StatusOr<v1::ApiKey> RevokeAdminKey(const v1::RevokeAdminKeyRequest& request);

 private:
  void AddTenantsTo(LocalMethods& methods);
  void AddKeysTo(LocalMethods& methods);

  absl::StatusOr<v1::Tenant> SetState(const std::string& name, TenantState state);
  absl::StatusOr<v1::ApiKey> StoreNew(KeyRecord key);
  absl::StatusOr<v1::ApiKey> Rotate(const std::string& tenant, const std::string& id,
                                    absl::Duration overlap);
  absl::StatusOr<v1::ApiKey> Revoke(const std::string& tenant, const std::string& id);
  v1::ApiKey ToProto(const KeyRecord& key) const;

  SqlIdentityStore& store_;
  KeyFeed& feed_;
  const Peppers& peppers_;
  const std::string environment_;
  const Clock& clock_;
};

/// A text of a request that must not be longer. Errors: InvalidField(field).
absl::Status CheckText(std::string_view field, std::string_view text, size_t max);
inline constexpr size_t kMaxDisplayName = 200;

/// Makes an operator's key and stores it. Offline recovery and the platform's first start.
struct OperatorKey {
  KeyRecord record;
  Secret text;
};
OperatorKey MakeOperatorKey(const Peppers& peppers, const std::string& environment,
                            std::string_view display_name, absl::Time now);

/// On a database without any operator's key: makes the first, and hands it over through `file`
/// (mode 0600, whole or not at all). True when it did.
absl::StatusOr<bool> CreateFirstOperatorKey(SqlIdentityStore& store, const Peppers& peppers,
                                            const std::string& environment, const std::string& file,
                                            absl::Time now);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_IDENTITY_SERVICE_H_
