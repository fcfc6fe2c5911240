#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_LIMIT_SERVICE_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_LIMIT_SERVICE_H_

#include <string>

#include "common/status/status.h"
#include "google/protobuf/empty.pb.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/identity/sql_identity_store.h"
#include "services/gateway/limits/lease_keeper.h"
#include "services/gateway/limits/sql_limit_store.h"
#include "slipway/gateway/v1/limits.pb.h"

namespace slipway::gateway {

/// LimitService and PriceService: what the public API does with limits and prices. What was set
/// holds on this replica when the call returns, on the others within a quarter of a second. Any
/// thread.
class LimitService {
 public:
  /// All outlive this.
  LimitService(SqlLimitStore& store, SqlIdentityStore& identity, LeaseKeeper& keeper)
      : store_(store), identity_(identity), keeper_(keeper) {}

  void AddTo(LocalMethods& methods);

  absl::StatusOr<v1::Limits> GetLimits(const v1::GetLimitsRequest& request);
  absl::StatusOr<v1::Limits> SetLimits(const v1::SetLimitsRequest& request);
  absl::StatusOr<v1::ListPricesResponse> ListPrices(const v1::ListPricesRequest& request);
  absl::StatusOr<v1::Price> SetPrice(const v1::SetPriceRequest& request);
  absl::StatusOr<google::protobuf::Empty> DeletePrice(const v1::DeletePriceRequest& request);

 private:
  struct Subject {
    std::string name;    ///< "tenants/acme/keys/k1"
    std::string tenant;  ///< "tenants/acme" where that is a key; else empty
  };
  absl::StatusOr<Subject> FindSubject(std::string_view field, const std::string& name);

  SqlLimitStore& store_;
  SqlIdentityStore& identity_;
  LeaseKeeper& keeper_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_LIMIT_SERVICE_H_
