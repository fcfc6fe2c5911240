#include "services/gateway/usage/outbox_feed.h"

#include <utility>

#include "common/log/log.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {

OutboxFeed::OutboxFeed(std::string name, Source source, Ledger& ledger, absl::Duration interval)
    : name_(std::move(name)), source_(std::move(source)), ledger_(ledger), interval_(interval) {}

void OutboxFeed::Start() {
  thread_.Start(interval_, RepeatingThread::First::kAtOnce, [this, failing = false]() mutable {
    const absl::Status status = Pull();
    if (!status.ok() && !failing) {
      Log(Severity::kWarning, "usage_not_pulled", {{"from", name_}, {"error", status}});
    }
    failing = !status.ok();
  });
}

absl::Status OutboxFeed::Pull() {
  for (;;) {
    ASSIGN_OR_RETURN(const int64_t cursor, ledger_.Cursor(name_));
    ASSIGN_OR_RETURN(const Batch batch, source_(cursor));
    if (batch.records.empty()) return absl::OkStatus();
    if (batch.cursor <= cursor) {
      return absl::InternalError(name_ + " sent usage events that were asked for before");
    }
    // Where another replica was quicker, the next turn starts from its cursor.
    RETURN_IF_ERROR(ledger_.AddFromOutbox(name_, cursor, batch.cursor, batch.records).status());
    if (thread_.stopping()) return absl::OkStatus();
  }
}

}  // namespace slipway::gateway
