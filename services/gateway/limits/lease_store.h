#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_LEASE_STORE_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_LEASE_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "services/gateway/limits/limits.h"
#include "services/gateway/limits/price_list.h"
#include "services/gateway/limits/shared_meter.h"

namespace slipway::gateway {

/// How far a replica has read.
struct LimitsCursor {
  int64_t limits = 0;  ///< The number of the last change of limits and prices.
  absl::Time meters = absl::InfinitePast();
};

/// What has changed since a cursor.
struct LimitsLook {
  LimitsCursor cursor;
  int replicas = 1;
  std::vector<LimitsRecord> limits;
  bool prices_changed = false;
  std::vector<Price> prices;  ///< All of them, where they have.

  /// A limit that a replica has used.
  struct SeenMeter {
    std::string subject;
    Quantity quantity;
    int64_t left;
    absl::Duration frees_in;  ///< From the look on; infinite where time brings nothing.
    absl::Duration age;
  };
  std::vector<SeenMeter> meters;
};

/// What the gateway's replicas share of their limits. Blocks; any thread. The times are the
/// store's own, so that replicas' clocks need not agree. Errors: kUnavailable.
class LeaseStore {
 public:
  virtual ~LeaseStore() = default;

  /// Says that the replica is alive, for kReplicaTime; that it ends.
  virtual absl::Status Register(const std::string& replica) = 0;
  virtual absl::Status Leave(const std::string& replica) = 0;

  virtual absl::StatusOr<LimitsLook> Look(const LimitsCursor& since) = 0;

  /// Shares each of these limits, all or none; an answer for each.
  virtual absl::StatusOr<std::vector<LeaseAnswer>> Exchange(
      const std::string& replica, int replicas, const std::vector<LeaseRequest>& requests) = 0;
};

inline constexpr absl::Duration kReplicaTime = absl::Seconds(15);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_LEASE_STORE_H_
