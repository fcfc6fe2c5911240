#include "services/gateway/identity/key_feed.h"

#include "common/log/log.h"

namespace slipway::gateway {

KeyFeed::KeyFeed(SqlIdentityStore& store, KeyTable& table, absl::Duration interval,
                 const Clock& clock)
    : store_(store), table_(table), interval_(interval), clock_(clock) {}

absl::Status KeyFeed::Refresh() {
  MutexLock lock(read_mutex_);
  const absl::Duration as_of = clock_.Monotonic();
  ASSIGN_OR_RETURN(const auto changes, store_.ReadChanges(sequence_));
  table_.Apply(changes.tenants, changes.keys, as_of);
  sequence_ = changes.sequence;
  return absl::OkStatus();
}

void KeyFeed::Start() {
  thread_.Start(interval_, RepeatingThread::First::kAfterInterval,
                [this, failing = false]() mutable {
                  const absl::Status status = Refresh();
                  // The first of a row of failures is told, and their end.
                  if (!status.ok() && !failing) {
                    Log(Severity::kError, "keys_not_read", {{"error", status}});
                  }
                  if (status.ok() && failing) Log(Severity::kInfo, "keys_read_again");
                  failing = !status.ok();
                });
}

}  // namespace slipway::gateway
