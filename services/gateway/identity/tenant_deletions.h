#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_DELETIONS_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_DELETIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/sql/database.h"
#include "common/status/status.h"
#include "slipway/gateway/v1/identity.pb.h"
#include "slipway/identity/v1/purge.pb.h"

namespace slipway::gateway {

/// The deletions of tenants in the gateway's database: how far each has come, so that any replica
/// goes on with it. Any thread. Errors of each call, besides its own: kUnavailable, StorageFull.
class TenantDeletions {
 public:
  /// `database` has the gateway's Schema() and outlives this.
  explicit TenantDeletions(sql::Database& database) : database_(database) {}

  /// The tenant's keys are dead from here on. Of a tenant that is being deleted, or was, what its
  /// deletion has come to. Errors: NotFound("tenants/{id}").
  absl::StatusOr<v1::TenantDeletion> Begin(const std::string& tenant,
                                           const v1::TenantDeletion& deletion);

  struct Entry {
    std::string tenant;
    int64_t revision = 0;
    v1::TenantDeletion deletion;
  };
  /// Errors: NotFound("tenants/{tenant}/deletion").
  absl::StatusOr<Entry> Get(const std::string& tenant);
  /// Those that are not done.
  absl::StatusOr<std::vector<Entry>> ListRunning();

  /// Writes what `entry` has become since it was read. Errors: kAborted where another replica has
  /// written it meanwhile: nothing is changed.
  absl::Status Save(const Entry& entry);
  /// The same, and the tenant is deleted: of it only its name is left.
  absl::Status Finish(const Entry& entry);

  /// As the services' PurgeTenant: the tenant's keys and projects.
  absl::StatusOr<identity::v1::PurgeTenantResponse> PurgeIdentity(const std::string& tenant,
                                                                  bool remove);

 private:
  sql::Database& database_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_DELETIONS_H_
