#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_OUTBOX_FEED_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_OUTBOX_FEED_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/repeating_thread.h"
#include "services/gateway/usage/ledger.h"

namespace slipway::gateway {

/// Pulls the usage that another service has billed (training seconds) into the ledger: by cursor,
/// each event once, also with several replicas and through restarts of both sides. A thread of
/// its own; any thread may call.
class OutboxFeed {
 public:
  struct Batch {
    int64_t cursor = 0;  ///< Of the last event.
    std::vector<v1::UsageRecord> records;
  };
  /// The events after a cursor, oldest first; none: an empty list. May block for a while.
  using Source = std::function<absl::StatusOr<Batch>(int64_t after)>;

  /// `ledger` outlives the feed. `name` ("training") is the source's in the ledger.
  OutboxFeed(std::string name, Source source, Ledger& ledger, absl::Duration interval);

  void Start();

  /// Pulls until nothing is left.
  absl::Status Pull();

 private:
  const std::string name_;
  const Source source_;
  Ledger& ledger_;
  const absl::Duration interval_;
  RepeatingThread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_OUTBOX_FEED_H_
