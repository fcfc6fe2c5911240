#ifndef SLIPWAY_SERVICES_GATEWAY_AUDIT_AUDIT_LOG_H_
#define SLIPWAY_SERVICES_GATEWAY_AUDIT_AUDIT_LOG_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/hash.h"
#include "common/sql/database.h"
#include "common/status/status.h"

namespace slipway::gateway {

namespace v1 {
class AuditRecord;
class JournalEntry;
}  // namespace v1

/// The secret of the chains, kept outside of the database: HMAC-SHA-256 by the version of a key;
/// nothing for a version that is not there. Any thread.
struct AuditKey {
  int64_t newest = 1;
  std::function<std::optional<Sha256Bytes>(int64_t version, std::string_view message)> mac;
};

/// The end of a writer's chain at some moment.
struct AuditHead {
  std::string writer;
  int64_t number = 0;
  std::string mac;  ///< 64 hex digits
  bool operator==(const AuditHead&) const = default;
};

/// What Verify found.
struct AuditVerdict {
  int64_t rows = 0;  ///< Of audit_records, that were compared.
  std::vector<AuditHead> heads;
  /// What is wrong, in words; at most kMaxFaults of them.
  std::vector<std::string> faults;
  static constexpr size_t kMaxFaults = 50;
};

/// Which rows. Empty texts: all.
struct AuditQuery {
  enum class Kind { kAll, kChanges, kRefusals };
  std::string tenant = "";
  absl::Time start = absl::UnixEpoch();
  absl::Time end = absl::InfiniteFuture();
  std::string key_id = "";
  std::string resource = "";
  std::string request_id = "";
  Kind kind = Kind::kAll;
  bool newest_first = true;
  /// Behind this row, by time and id.
  std::optional<std::pair<int64_t, std::string>> after = std::nullopt;
  int limit = 100;
};

/// Who changed what or was refused: rows in the gateway's database, and beside them one chain a
/// writer (a gateway's journal): each entry as it was journaled, with an HMAC over itself and the
/// HMAC before it. A row that is altered, removed or put in does not fit its chain, nor does the
/// chain without one of its entries; that its end was cut off is told by a head that was exported
/// before. Any thread. Errors of each call: kUnavailable, StorageFull.
class AuditLog {
 public:
  /// `database` has the gateway's Schema() and outlives this.
  AuditLog(sql::Database& database, AuditKey key) : database_(database), key_(std::move(key)) {}

  /// Takes those of a journal's entries that are audit's, in their order. An entry that comes
  /// again changes nothing.
  absl::Status Add(sql::Transaction& tx, const std::string& writer,
                   const std::vector<v1::JournalEntry>& entries);

  absl::StatusOr<std::vector<v1::AuditRecord>> List(const AuditQuery& query);

  /// Of each writer, by name.
  absl::StatusOr<std::vector<AuditHead>> Heads();

  /// Is the entry of this head still there, as it was?
  absl::StatusOr<bool> Holds(const AuditHead& head);

  /// Compares all rows with their chains, and these with their keys and `exported`.
  absl::StatusOr<AuditVerdict> Verify(const std::vector<AuditHead>& exported);

 private:
  absl::Status Append(sql::Transaction& tx, const std::string& writer, const std::string& record_id,
                      const v1::JournalEntry& entry);

  sql::Database& database_;
  const AuditKey key_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_AUDIT_AUDIT_LOG_H_
