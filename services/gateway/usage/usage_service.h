#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_SERVICE_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_SERVICE_H_

#include <string>

#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/audit/audit_log.h"
#include "services/gateway/usage/ledger.h"
#include "services/gateway/usage/ledger_feed.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {

/// UsageService and AuditService. What the caller's earlier calls through this gateway left is
/// in each answer, unless the database has been away. Any thread.
class UsageService {
 public:
  /// All outlive this.
  UsageService(Ledger& ledger, AuditLog& audit, LedgerFeed& feed)
      : ledger_(ledger), audit_(audit), feed_(feed) {}

  void AddTo(LocalMethods& methods);

  absl::StatusOr<v1::Usage> GetUsage(const v1::GetUsageRequest& request);
  absl::StatusOr<v1::ListUsageRecordsResponse> ListUsageRecords(
      const v1::ListUsageRecordsRequest& request);
  absl::StatusOr<v1::ListAuditRecordsResponse> ListAuditRecords(
      const v1::ListAuditRecordsRequest& request);

  // Those below look at the principal themselves: no path says whose rows they are about.
  absl::StatusOr<v1::QueryUsageResponse> QueryUsage(const Principal& who,
                                                    const v1::QueryUsageRequest& request);
  absl::StatusOr<LocalMethods::Pieces> ExportUsage(const Principal& who,
                                                   const v1::ExportUsageRequest& request);
  absl::StatusOr<v1::CallExplanation> ExplainCall(const Principal& who,
                                                  const v1::ExplainCallRequest& request);
  absl::StatusOr<v1::ListAuditRecordsResponse> QueryAudit(const Principal& who,
                                                          const v1::QueryAuditRequest& request);
  absl::StatusOr<LocalMethods::Pieces> ExportAudit(const Principal& who,
                                                   const v1::QueryAuditRequest& request);

 private:
  void CatchUp();
  absl::StatusOr<v1::ListAuditRecordsResponse> ListAudit(AuditQuery query, int32_t page_size,
                                                         const std::string& page_token);

  Ledger& ledger_;
  AuditLog& audit_;
  LedgerFeed& feed_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_SERVICE_H_
