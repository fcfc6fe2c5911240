#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/sql/database.h"
#include "common/status/status.h"
#include "services/gateway/audit/audit_log.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/usage_hours.h"

namespace slipway::gateway {

namespace v1 {
class JournalEntry;
class UsageRecord;
class UsageTotal;
}  // namespace v1

/// Which usage rows. Empty texts: all.
struct UsageList {
  std::string tenant = "";
  absl::Time start = absl::UnixEpoch();
  absl::Time end = absl::InfiniteFuture();
  std::string request_id = "";
  /// Else by tenant, and then oldest first.
  bool newest_first = true;
  struct Mark {
    std::string tenant;
    int64_t time_micros = 0;
    std::string id;
  };
  /// Behind this row.
  std::optional<Mark> after = std::nullopt;
  int limit = 100;
};

/// What the gateways' journals and other services' outboxes bring into the gateway's database:
/// usage rows, their sums by the hour, and the audit log. Any thread.
/// Errors of each call: kUnavailable, StorageFull.
class Ledger {
 public:
  /// `database` has the gateway's Schema(). Both outlive this.
  Ledger(sql::Database& database, AuditLog& audit) : database_(database), audit_(audit) {}

  /// How far the journal `writer` has come; from its beginning where it is new.
  absl::StatusOr<JournalPosition> Position(const std::string& writer);

  /// Takes a journal's next entries and the position behind them, in one transaction: all or
  /// nothing, and an entry that comes again changes nothing.
  absl::Status Add(const std::string& writer, const std::vector<v1::JournalEntry>& entries,
                   JournalPosition position);

  /// The journal's earlier process is dead: its usage rows that have no outcome never will.
  absl::Status MarkBroken(const std::string& writer);

  /// The cursor of a service's outbox; 0 at first.
  absl::StatusOr<int64_t> Cursor(const std::string& source);

  /// Takes rows from an outbox and moves its cursor from `from` to `to` in one transaction. False
  /// where another replica has moved it meanwhile: nothing was taken.
  absl::StatusOr<bool> AddFromOutbox(const std::string& source, int64_t from, int64_t to,
                                     const std::vector<v1::UsageRecord>& records);

  absl::StatusOr<std::vector<v1::UsageRecord>> ListUsage(const UsageList& list);

  /// See ReadUsageTotals.
  absl::StatusOr<std::vector<v1::UsageTotal>> Totals(const UsageQuery& query);

 private:
  sql::Database& database_;
  AuditLog& audit_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_H_
