#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_SQL_LIMIT_STORE_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_SQL_LIMIT_STORE_H_

#include <string>
#include <vector>

#include "common/sql/database.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/limits/lease_store.h"
#include "slipway/identity/v1/purge.pb.h"

namespace slipway::gateway {

/// Limits, prices, and how much of them is used, in the gateway's database. Any thread. Errors of
/// each call, besides its own: kUnavailable, StorageFull.
class SqlLimitStore final : public LeaseStore {
 public:
  /// `database` has the gateway's Schema(); both outlive this. Times are PostgreSQL's own, and
  /// `clock`'s where the database is a file, which one gateway has to itself.
  SqlLimitStore(sql::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  /// None where there are none. Also what the budget's present period has cost so far.
  struct LimitsNow {
    Limits limits;
    int64_t spent = 0;
  };
  absl::StatusOr<LimitsNow> GetLimits(const std::string& subject);
  /// Errors: InvalidField where one is above that of `within` (a tenant, or empty).
  absl::Status SetLimits(const LimitsRecord& record, const std::string& within);

  /// By id, those after `after`.
  absl::StatusOr<std::vector<Price>> ListPrices(const std::string& after, int limit);
  /// Errors: kFailedPrecondition (there are kMaxPrices already).
  absl::Status SetPrice(const Price& price);
  static constexpr int kMaxPrices = 1000;
  /// Errors: NotFound("prices/{id}").
  absl::Status DeletePrice(const std::string& id);

  /// As the services' PurgeTenant: the limits of the tenant and of its keys, and what is used and
  /// leased of them.
  absl::StatusOr<identity::v1::PurgeTenantResponse> PurgeTenant(const std::string& tenant,
                                                                bool remove);

  absl::Status Register(const std::string& replica) override;
  absl::Status Leave(const std::string& replica) override;
  absl::StatusOr<LimitsLook> Look(const LimitsCursor& since) override;
  absl::StatusOr<std::vector<LeaseAnswer>> Exchange(
      const std::string& replica, int replicas, const std::vector<LeaseRequest>& requests) override;

 private:
  absl::StatusOr<absl::Time> Now(sql::Transaction& tx) const;
  absl::StatusOr<int64_t> LedgerSpent(const LeaseRequest& request);

  sql::Database& database_;
  const Clock& clock_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_SQL_LIMIT_STORE_H_
