#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_SERVICE_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_SERVICE_H_

#include "common/status/status.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/usage/ledger.h"
#include "services/gateway/usage/ledger_feed.h"
#include "slipway/gateway/v1/gateway.pb.h"

namespace slipway::gateway {

/// UsageService and AuditService. What the caller's earlier calls through this gateway left is
/// in each answer, unless the database has been away. Any thread.
class UsageService {
 public:
  /// Both outlive this.
  UsageService(Ledger& ledger, LedgerFeed& feed) : ledger_(ledger), feed_(feed) {}

  void AddTo(LocalMethods& methods);

  absl::StatusOr<v1::Usage> GetUsage(const v1::GetUsageRequest& request);
  absl::StatusOr<v1::ListUsageRecordsResponse> ListUsageRecords(
      const v1::ListUsageRecordsRequest& request);
  absl::StatusOr<v1::ListAuditRecordsResponse> ListAuditRecords(
      const v1::ListAuditRecordsRequest& request);

 private:
  void CatchUp();

  Ledger& ledger_;
  LedgerFeed& feed_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_SERVICE_H_
