#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_SQL_IDENTITY_STORE_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_SQL_IDENTITY_STORE_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/sql/database.h"
#include "common/status/status.h"
#include "services/gateway/identity/records.h"

namespace slipway::gateway {

/// Tenants and keys in the gateway's database, each change with a row in the feed that replicas
/// read. What a call acknowledged is durable. Any thread. Errors of each call, besides its own:
/// kUnavailable, StorageFull.
class SqlIdentityStore {
 public:
  /// `database` has the gateway's Schema() and outlives this.
  explicit SqlIdentityStore(sql::Database& database) : database_(database) {}

  /// Makes a tenant. The same `request_id` (unless empty) with the same `request_hash` answers
  /// what the first call made. Errors: kAlreadyExists.
  absl::StatusOr<TenantRecord> CreateTenant(const TenantRecord& tenant,
                                            const std::string& request_id,
                                            const std::string& request_hash);
  /// Errors: NotFound("tenants/{id}").
  absl::StatusOr<TenantRecord> GetTenant(const std::string& id);
  /// By id, those after `after`.
  absl::StatusOr<std::vector<TenantRecord>> ListTenants(const std::string& after, int limit);

  /// Errors: kNotFound (the tenant), kFailedPrecondition (it has kMaxKeys already).
  absl::Status CreateKey(const KeyRecord& key);
  static constexpr int kMaxKeys = 1000;

  /// Makes the key unless an operator's key was ever made. True when it did.
  absl::StatusOr<bool> CreateFirstOperatorKey(const KeyRecord& key);
  absl::Status CreateOperatorKey(const KeyRecord& key);

  /// Errors: NotFound("tenants/{tenant}/keys/{id}").
  absl::StatusOr<KeyRecord> GetKey(const std::string& tenant, const std::string& id);
  absl::StatusOr<std::vector<KeyRecord>> ListKeys(const std::string& tenant,
                                                  const std::string& after, int limit);
  /// Ends a key; a key that was ended before keeps its time. Errors as GetKey.
  absl::StatusOr<KeyRecord> RevokeKey(const std::string& tenant, const std::string& id,
                                      absl::Time now);

  struct Changes {
    int64_t sequence = 0;  ///< What they lead to.
    std::vector<TenantRecord> tenants;
    std::vector<KeyRecord> keys;
  };
  /// What changed after `sequence`, as it is now; everything where `sequence` is 0.
  absl::StatusOr<Changes> ReadChanges(int64_t sequence);

  /// Was any key ever made?
  absl::StatusOr<bool> HasKeys();

 private:
  sql::Database& database_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_SQL_IDENTITY_STORE_H_
