#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_KEY_TABLE_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_KEY_TABLE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/net/network.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/gateway/identity/pepper.h"
#include "services/gateway/identity/records.h"

namespace slipway::gateway {

/// A key as requests need it, all texts of its record read. Immutable and shared, so that a
/// request copies nothing.
struct KnownKey {
  KeyRecord record;
  Principal principal;
  /// record.allowed_networks.
  Networks networks;

  /// The project (id) that its usage is counted for; empty: an operator's.
  const std::string& project() const { return record.project; }
  /// May it call this endpoint (if there is one)? A "no" is answered like an absent endpoint.
  bool MayCall(std::string_view endpoint) const;
};

/// Every tenant and key in memory, so that no request waits for the database. Fed with changes
/// (see KeyFeed); what was fed last is what holds. Any thread.
class KeyTable {
 public:
  /// How old the table may be before an unknown key is "we cannot tell" instead of "no", and
  /// before nothing is told at all.
  struct Limits {
    absl::Duration unknown = absl::Seconds(2);
    absl::Duration known = absl::Minutes(5);
  };

  /// `clock` outlives the table.
  KeyTable(Peppers peppers, Limits limits, const Clock& clock);

  /// Takes records as they are now in the database; `as_of` (Clock::Monotonic) is when they were
  /// read. The keys of a deleted tenant go.
  void Apply(const std::vector<TenantRecord>& tenants, const std::vector<KeyRecord>& keys,
             absl::Duration as_of);

  /// Whose key this is, shown from `address` (RequestHead::peer_address). Errors, with messages
  /// fit for the caller: kUnauthenticated (malformed, unknown, revoked, expired),
  /// kPermissionDenied (the tenant is suspended; the key is not for this address), kUnavailable
  /// (the database has been away for too long to tell).
  absl::StatusOr<std::shared_ptr<const KnownKey>> Authenticate(std::string_view key_text,
                                                               std::string_view address) const;

  /// The key with that id, for what it has begun and does not show itself for again (a batch).
  /// Errors as Authenticate, but for the address.
  absl::StatusOr<std::shared_ptr<const KnownKey>> Find(std::string_view key_id) const;

  /// May this tenant's callers be let in? OK for "", the operators'. Errors: kUnauthenticated (it
  /// is about to go, or absent), kPermissionDenied (suspended), kUnavailable.
  absl::Status CheckTenant(std::string_view id) const;

  /// Is there such a tenant, and not about to go?
  bool TenantExists(std::string_view id) const;
  /// Was there ever one? What is left of a deleted tenant (usage, audit, the report) has its name.
  bool TenantKnown(std::string_view id) const;
  /// The project of a key, dead or alive; empty where nobody knows the key.
  std::string ProjectOf(std::string_view key_id) const;

  size_t key_count() const;
  /// Time since the last Apply.
  absl::Duration age() const;

  const Peppers& peppers() const { return peppers_; }

 private:
  struct Entry {
    std::shared_ptr<const KnownKey> key;
    TenantState tenant = TenantState::kActive;
  };
  /// Errors: kUnauthenticated (unknown), kUnavailable.
  absl::StatusOr<Entry> LookUp(std::string_view key_id) const;
  absl::Status CheckAlive(const Entry& entry) const;
  /// Does the text hold the key's secret, or the one before while that still works?
  bool Opens(const KeyRecord& record, std::string_view key_text) const;

  const Peppers peppers_;
  const Limits limits_;
  const Clock& clock_;
  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<const KnownKey>> keys_ GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, TenantState> tenants_ GUARDED_BY(mutex_);
  absl::Duration as_of_ GUARDED_BY(mutex_) = -absl::InfiniteDuration();
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_KEY_TABLE_H_
