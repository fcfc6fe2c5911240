#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_KEY_FEED_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_KEY_FEED_H_

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/sync/repeating_thread.h"
#include "common/time/clock.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/identity/sql_identity_store.h"

namespace slipway::gateway {

/// Carries changes of tenants and keys from the database into a KeyTable: every `interval`, by a
/// thread of its own, and at once after Refresh(). So a key that is revoked on one replica is dead
/// there at once, and on the others within the interval and a read.
class KeyFeed {
 public:
  /// All arguments outlive the feed. Call Refresh() once before the table is used.
  KeyFeed(SqlIdentityStore& store, KeyTable& table, absl::Duration interval, const Clock& clock);

  /// Brings the table up to what the database holds now. Any thread.
  absl::Status Refresh();

  /// Starts to read by itself.
  void Start();

 private:
  SqlIdentityStore& store_;
  KeyTable& table_;
  const absl::Duration interval_;
  const Clock& clock_;
  Mutex read_mutex_;  // one reader at a time, so that an older read never overtakes a newer one
  int64_t sequence_ GUARDED_BY(read_mutex_) = 0;
  RepeatingThread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_KEY_FEED_H_
