#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_DELETER_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_DELETER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/sync/repeating_thread.h"
#include "common/time/clock.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/identity/key_feed.h"
#include "services/gateway/identity/tenant_deletions.h"

namespace slipway::gateway {

/// Whoever keeps things of tenants: a service, or a room of the gateway.
struct TenantKeeper {
  std::string service;
  /// As the services' PurgeTenant. May block for a while.
  std::function<absl::StatusOr<identity::v1::PurgeTenantResponse>(const std::string& tenant,
                                                                  bool remove)>
      purge;
};

/// Deletes tenants: walks through all keepers in their order, by a thread of its own. The tenant's
/// keys are dead before it begins. Of each keeper it first closes the tenant there and keeps what
/// there is, then has it removed. When all is removed each keeper is asked once more, then the
/// report is written and vouched for. Each step is in the database before the next begins and may
/// be repeated, so that it goes on after a kill, on whichever replica. Any thread.
class TenantDeleter {
 public:
  /// Writes an audit record with the report's digest; OK once it is kept.
  using Vouch =
      std::function<absl::Status(const std::string& tenant, const v1::TenantDeletion& deletion)>;

  /// The others outlive this. Deletions are looked for every `interval`.
  TenantDeleter(TenantDeletions& deletions, KeyFeed& feed, std::vector<TenantKeeper> keepers,
                Vouch vouch, absl::Duration interval, const Clock& clock);

  void AddTo(LocalMethods& methods);
  void Start();

  /// The tenant's keys are dead on this replica when this returns; the rest follows.
  absl::StatusOr<v1::TenantDeletion> DeleteTenant(const Principal& who,
                                                  const v1::DeleteTenantRequest& request);
  absl::StatusOr<v1::TenantDeletion> GetTenantDeletion(const v1::GetTenantDeletionRequest& request);

  /// One step of one deletion. True once it is done. Errors: the keeper's, the database's; a step
  /// that has to wait is kUnavailable.
  absl::StatusOr<bool> Step(const std::string& tenant);

 private:
  using Entry = TenantDeletions::Entry;

  absl::Status Close(const TenantKeeper& keeper, Entry& entry);
  absl::Status Remove(const TenantKeeper& keeper, const std::string& tenant);
  void WriteReport(Entry& entry) const;
  /// Steps on with all deletions, or one, as far as they go now.
  void GoOn();
  void GoOnWith(const std::string& tenant);
  void NoteWait(const std::string& tenant, const absl::Status& status);

  TenantDeletions& deletions_;
  KeyFeed& feed_;
  const std::vector<TenantKeeper> keepers_;
  const Vouch vouch_;
  const absl::Duration interval_;
  const Clock& clock_;
  RepeatingThread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_TENANT_DELETER_H_
