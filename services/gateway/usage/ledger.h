#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/sql/database.h"
#include "common/status/status.h"
#include "services/gateway/usage/journal.h"

namespace slipway::gateway {

namespace v1 {
class AuditRecord;
class JournalEntry;
class UsageRecord;
class UsageTotal;
}  // namespace v1

/// Usage and audit rows in the gateway's database. Any thread.
/// Errors of each call: kUnavailable, StorageFull.
class Ledger {
 public:
  /// `database` has the gateway's Schema() and outlives this.
  explicit Ledger(sql::Database& database) : database_(database) {}

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

  /// Where a list stands: rows before this one, by time and id.
  struct Mark {
    int64_t time_micros = 0;
    std::string id;
  };
  /// Newest first, `before` the mark. Of one tenant.
  absl::StatusOr<std::vector<v1::UsageRecord>> ListUsage(const std::string& tenant,
                                                         const std::optional<Mark>& before,
                                                         int limit);
  absl::StatusOr<std::vector<v1::AuditRecord>> ListAudit(const std::string& tenant,
                                                         const std::optional<Mark>& before,
                                                         int limit);

  /// By kind, resource and key, from `start` to before `end`. Rows that a kill broke count: their
  /// work was done.
  absl::StatusOr<std::vector<v1::UsageTotal>> Totals(const std::string& tenant, absl::Time start,
                                                     absl::Time end);

 private:
  sql::Database& database_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_H_
