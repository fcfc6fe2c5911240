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
#include "slipway/gateway/v1/gateway.pb.h"

namespace slipway::gateway {

/// TenantService and ApiKeyService: what the public API does with tenants and keys. Any thread.
class IdentityService {
 public:
  /// `environment` is the one in new keys' text. The others outlive this.
  IdentityService(SqlIdentityStore& store, KeyFeed& feed, const Peppers& peppers,
                  std::string environment, const Clock& clock);

  void AddTo(LocalMethods& methods);

  absl::StatusOr<v1::Tenant> CreateTenant(const v1::CreateTenantRequest& request);
  absl::StatusOr<v1::Tenant> GetTenant(const v1::GetTenantRequest& request);
  absl::StatusOr<v1::ListTenantsResponse> ListTenants(const v1::ListTenantsRequest& request);
  /// The answer holds the key's text, this once.
  absl::StatusOr<v1::ApiKey> CreateApiKey(const Principal& who,
                                          const v1::CreateApiKeyRequest& request);
  absl::StatusOr<v1::ApiKey> GetApiKey(const v1::GetApiKeyRequest& request);
  absl::StatusOr<v1::ListApiKeysResponse> ListApiKeys(const v1::ListApiKeysRequest& request);
  /// The key is dead on this replica when this returns.
  absl::StatusOr<v1::ApiKey> RevokeApiKey(const v1::RevokeApiKeyRequest& request);

 private:
  v1::ApiKey ToProto(const KeyRecord& key) const;

  SqlIdentityStore& store_;
  KeyFeed& feed_;
  const Peppers& peppers_;
  const std::string environment_;
  const Clock& clock_;
};

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
