#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_SQL_IDENTITY_STORE_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_SQL_IDENTITY_STORE_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/sql/database.h"
#include "common/status/status.h"
#include "services/gateway/identity/records.h"

namespace slipway::gateway {

/// Tells replicas (see KeyFeed) that a "tenant" or a "key" has changed.
absl::Status AddChange(sql::Transaction& tx, std::string_view kind, const std::string& id);

/// Tenants, projects and keys in the gateway's database, each change of a tenant or a key with a
/// row in the feed that replicas read. What a call acknowledged is durable. Any thread. Errors of
/// each call, besides its own: kUnavailable, StorageFull.
///
/// What is asked of a tenant that is absent, or about to go, is NotFound("tenants/{id}"); a key's
/// `tenant` is empty where it is an operator's.
class SqlIdentityStore {
 public:
  /// `database` has the gateway's Schema() and outlives this.
  explicit SqlIdentityStore(sql::Database& database) : database_(database) {}

  /// Makes a tenant and its default project. The same `request_id` (unless empty) with the same
  /// `request_hash` answers what the first call made. Errors: kAlreadyExists, also for the id of a
  /// deleted tenant: its usage and audit rows stay its own.
  absl::StatusOr<TenantRecord> CreateTenant(const TenantRecord& tenant,
                                            const std::string& request_id,
                                            const std::string& request_hash);
  /// Also one that was deleted. Errors: NotFound("tenants/{id}").
  absl::StatusOr<TenantRecord> GetTenant(const std::string& id);
  /// By id, those after `after`.
  absl::StatusOr<std::vector<TenantRecord>> ListTenants(const std::string& after, int limit);
  absl::StatusOr<TenantRecord> RenameTenant(const std::string& id, const std::string& display_name);
  /// Between kActive and kSuspended.
  absl::StatusOr<TenantRecord> SetTenantState(const std::string& id, TenantState state);

  /// Errors: kAlreadyExists, kFailedPrecondition (the tenant has kMaxProjects).
  absl::Status CreateProject(const ProjectRecord& project);
  static constexpr int kMaxProjects = 1000;
  /// Errors: NotFound("tenants/{tenant}/projects/{id}").
  absl::StatusOr<ProjectRecord> GetProject(const std::string& tenant, const std::string& id);
  absl::StatusOr<std::vector<ProjectRecord>> ListProjects(const std::string& tenant,
                                                          const std::string& after, int limit);
  /// Ends a project and its keys; one that was ended before stays as it is. Errors as GetProject.
  absl::StatusOr<ProjectRecord> ArchiveProject(const std::string& tenant, const std::string& id,
                                               absl::Time now);

  /// A tenant's key, or an operator's. Errors: InvalidField("project") (absent or archived),
  /// kFailedPrecondition (the tenant has kMaxKeys).
  absl::Status CreateKey(const KeyRecord& key);
  static constexpr int kMaxKeys = 1000;

  /// Makes the key unless an operator's key was ever made. True when it did.
  absl::StatusOr<bool> CreateFirstOperatorKey(const KeyRecord& key);

  /// Errors: NotFound("tenants/{tenant}/keys/{id}").
  absl::StatusOr<KeyRecord> GetKey(const std::string& tenant, const std::string& id);
  absl::StatusOr<std::vector<KeyRecord>> ListKeys(const std::string& tenant,
                                                  const std::string& after, int limit);
  /// Puts another secret in; the one before works until `overlap_end`. Errors: as GetKey,
  /// kFailedPrecondition (the key is dead).
  absl::StatusOr<KeyRecord> RotateKey(const std::string& tenant, const std::string& id,
                                      const SecretCode& code, absl::Time overlap_end,
                                      absl::Time now);
  /// Ends a key; a key that was ended before keeps its time. Errors: as GetKey,
  /// kFailedPrecondition (the last of the operators' keys that works).
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
