#include "services/gateway/usage/ledger.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/usage/recorder.h"
#include "slipway/gateway/v1/journal.pb.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;

// What usage_records.outcome holds.
enum OutcomeColumn : int64_t { kPending = 0, kAnswered = 1, kAbandoned = 2, kBroken = 3 };

// Rows of one INSERT. PostgreSQL answers each statement over a socket, so that it gets few large
// ones, within its limit on parameters. SQLite's driver looks every parameter up by its name among
// all of the statement's, so that it gets many small ones.
size_t RowsPerInsert(sql::Dialect dialect) { return dialect == sql::Dialect::kSqlite ? 4 : 40; }

int64_t Micros(const google::protobuf::Timestamp& time) {
  return TimeUtil::TimestampToMicroseconds(time);
}

// Inserts rows of `columns` (comma-separated) in statements of many rows, ignoring ids that are
// there already.
class Inserter {
 public:
  Inserter(sql::Transaction& tx, std::string_view table, std::string_view columns)
      : tx_(tx),
        head_(fmt::format("INSERT INTO {} ({}) VALUES ", table, columns)),
        width_(1 + std::count(columns.begin(), columns.end(), ',')),
        full_(RowsPerInsert(tx.dialect()) * width_) {}

  absl::Status Add(std::initializer_list<sql::Value> row) {
    params_.insert(params_.end(), row.begin(), row.end());
    if (params_.size() == full_) return Flush();
    return absl::OkStatus();
  }

  absl::Status Flush() {
    if (params_.empty()) return absl::OkStatus();
    // Most hold as many rows as the one before.
    if (sql_places_ != params_.size()) {
      sql_ = Sql(params_.size() / width_);
      sql_places_ = params_.size();
    }
    const absl::Status status = tx_.Execute(sql_, params_).status();
    params_.clear();
    return status;
  }

 private:
  std::string Sql(size_t rows) const {
    std::string row = "(";
    for (size_t i = 0; i < width_; ++i) row += i == 0 ? "?" : ",?";
    row += ")";
    std::string sql = head_;
    for (size_t i = 0; i < rows; ++i) sql += i == 0 ? row : "," + row;
    return sql + " ON CONFLICT (id) DO NOTHING";
  }

  sql::Transaction& tx_;
  const std::string head_;
  const size_t width_;
  const size_t full_;
  std::string sql_;
  size_t sql_places_ = 0;
  sql::Params params_;
};

constexpr char kUsageColumns[] =
    "id, writer, time, tenant, key_id, kind, resource, model_version, quantity, request_id, "
    "http_code, outcome, input_bytes, output_bytes, compute_micros, units";
constexpr char kAuditColumns[] =
    "id, writer, time, tenant, key_id, method, resource, peer_address, request_id, http_code";

absl::Status InsertUsage(Inserter& usage, const std::string& writer, const v1::UsageRecord& record,
                         int http_code, OutcomeColumn outcome) {
  return usage.Add({record.id(), writer, Micros(record.time()), record.tenant(), record.key_id(),
                    record.kind(), record.resource(), record.model_version(), record.quantity(),
                    record.request_id(), http_code, static_cast<int64_t>(outcome),
                    record.input_bytes(), record.output_bytes(), record.compute_micros(),
                    record.units()});
}

// The tenant that a resource name starts with: "acme" of "tenants/acme/models/m". A change belongs
// into the log of the tenant that it concerns, also where the operator made it.
std::string TenantOf(std::string_view resource) {
  constexpr std::string_view kPrefix = "tenants/";
  if (!resource.starts_with(kPrefix)) return "";
  resource.remove_prefix(kPrefix.size());
  return std::string(resource.substr(0, resource.find('/')));
}

OutcomeColumn UsageOutcome(int http_code) {
  return http_code == kCallerLeft ? kAbandoned : kAnswered;
}

absl::Status SettleLater(sql::Transaction& tx, const v1::Outcome& outcome) {
  if (outcome.kind() == v1::Outcome::USAGE) {
    return tx
        .Execute("UPDATE usage_records SET http_code = ?, outcome = ? WHERE id = ? AND outcome = 0",
                 {outcome.http_code(), static_cast<int64_t>(UsageOutcome(outcome.http_code())),
                  outcome.id()})
        .status();
  }
  if (outcome.resource().empty()) {
    return tx
        .Execute("UPDATE audit_records SET http_code = ? WHERE id = ?",
                 {outcome.http_code(), outcome.id()})
        .status();
  }
  return tx
      .Execute(
          "UPDATE audit_records SET http_code = ?, resource = ?, "
          "tenant = CASE WHEN tenant = '' THEN ? ELSE tenant END WHERE id = ?",
          {outcome.http_code(), outcome.resource(), TenantOf(outcome.resource()), outcome.id()})
      .status();
}

absl::Status AddEntries(sql::Transaction& tx, const std::string& writer,
                        const std::vector<v1::JournalEntry>& entries) {
  // Most outcomes come in one batch with their record, and then the row is written once.
  std::map<std::string_view, const v1::Outcome*> outcomes;
  for (const v1::JournalEntry& entry : entries) {
    if (entry.has_outcome()) outcomes[entry.outcome().id()] = &entry.outcome();
  }
  const auto take = [&](const std::string& id) -> const v1::Outcome* {
    const auto found = outcomes.find(id);
    if (found == outcomes.end()) return nullptr;
    const v1::Outcome* outcome = found->second;
    outcomes.erase(found);
    return outcome;
  };
  Inserter usage(tx, "usage_records", kUsageColumns);
  Inserter audit(tx, "audit_records", kAuditColumns);
  for (const v1::JournalEntry& entry : entries) {
    if (entry.has_usage()) {
      const v1::UsageRecord& record = entry.usage();
      const v1::Outcome* outcome = take(record.id());
      RETURN_IF_ERROR(outcome == nullptr
                          ? InsertUsage(usage, writer, record, record.http_code(), kPending)
                          : InsertUsage(usage, writer, record, outcome->http_code(),
                                        UsageOutcome(outcome->http_code())));
    } else if (entry.has_audit()) {
      const v1::AuditRecord& record = entry.audit();
      const v1::Outcome* outcome = take(record.id());
      const std::string& resource = outcome == nullptr || outcome->resource().empty()
                                        ? record.resource()
                                        : outcome->resource();
      RETURN_IF_ERROR(
          audit.Add({record.id(), writer, Micros(record.time()),
                     record.tenant().empty() ? TenantOf(resource) : record.tenant(),
                     record.key_id(), record.method(), resource, record.peer_address(),
                     record.request_id(), outcome == nullptr ? 0 : outcome->http_code()}));
    }
  }
  RETURN_IF_ERROR(usage.Flush());
  RETURN_IF_ERROR(audit.Flush());
  for (const auto& [id, outcome] : outcomes) RETURN_IF_ERROR(SettleLater(tx, *outcome));
  return absl::OkStatus();
}

v1::UsageRecord ReadUsage(const sql::Row& row) {
  v1::UsageRecord record;
  record.set_id(row.GetString(0));
  *record.mutable_time() = TimeUtil::MicrosecondsToTimestamp(row.GetInt(1));
  record.set_tenant(row.GetString(2));
  record.set_key_id(row.GetString(3));
  record.set_kind(row.GetString(4));
  record.set_resource(row.GetString(5));
  record.set_model_version(row.GetString(6));
  record.set_quantity(row.GetDouble(7));
  record.set_request_id(row.GetString(8));
  record.set_http_code(static_cast<int32_t>(row.GetInt(9)));
  record.set_broken(row.GetInt(10) == kBroken);
  record.set_input_bytes(row.GetInt(11));
  record.set_output_bytes(row.GetInt(12));
  record.set_compute_micros(row.GetInt(13));
  record.set_units(row.GetInt(14));
  return record;
}

v1::AuditRecord ReadAudit(const sql::Row& row) {
  v1::AuditRecord record;
  record.set_id(row.GetString(0));
  *record.mutable_time() = TimeUtil::MicrosecondsToTimestamp(row.GetInt(1));
  record.set_tenant(row.GetString(2));
  record.set_key_id(row.GetString(3));
  record.set_method(row.GetString(4));
  record.set_resource(row.GetString(5));
  record.set_peer_address(row.GetString(6));
  record.set_request_id(row.GetString(7));
  record.set_http_code(static_cast<int32_t>(row.GetInt(8)));
  return record;
}

constexpr char kBefore[] = " AND (time < ? OR (time = ? AND id < ?))";

// A page of a tenant's rows: `select` says columns and table, `read` makes a record of a row.
template <class Record>
absl::StatusOr<std::vector<Record>> ListNewestFirst(sql::Database& database,
                                                    std::string_view select,
                                                    const std::string& tenant,
                                                    const std::optional<Ledger::Mark>& before,
                                                    int limit, Record (*read)(const sql::Row&)) {
  std::vector<Record> records;
  RETURN_IF_ERROR(database.Read([&](sql::Transaction& tx) -> absl::Status {
    records.clear();
    sql::Params params = {tenant};
    if (before) params.insert(params.end(), {before->time_micros, before->time_micros, before->id});
    params.emplace_back(limit);
    return tx.ForEach(fmt::format("{} WHERE tenant = ?{} ORDER BY time DESC, id DESC LIMIT ?",
                                  select, before ? kBefore : ""),
                      params, [&](const sql::Row& row) {
                        records.push_back(read(row));
                        return absl::OkStatus();
                      });
  }));
  return records;
}

}  // namespace

absl::StatusOr<JournalPosition> Ledger::Position(const std::string& writer) {
  JournalPosition position;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const auto row,
        tx.QueryOne("SELECT segment, segment_offset FROM journal_positions WHERE writer = ?",
                    {writer}));
    position = row ? JournalPosition{row->GetInt(0), row->GetInt(1)} : JournalPosition();
    return absl::OkStatus();
  }));
  return position;
}

absl::Status Ledger::Add(const std::string& writer, const std::vector<v1::JournalEntry>& entries,
                         JournalPosition position) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(AddEntries(tx, writer, entries));
    return tx
        .Execute(
            "INSERT INTO journal_positions (writer, segment, segment_offset) VALUES (?, ?, ?) "
            "ON CONFLICT (writer) DO UPDATE SET segment = excluded.segment, "
            "segment_offset = excluded.segment_offset",
            {writer, position.segment, position.offset})
        .status();
  });
}

absl::Status Ledger::MarkBroken(const std::string& writer) {
  return database_.Write([&](sql::Transaction& tx) {
    return tx
        .Execute("UPDATE usage_records SET outcome = 3 WHERE writer = ? AND outcome = 0", {writer})
        .status();
  });
}

absl::StatusOr<int64_t> Ledger::Cursor(const std::string& source) {
  int64_t cursor = 0;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto row,
                     tx.QueryOne("SELECT position FROM usage_cursors WHERE source = ?", {source}));
    cursor = row ? row->GetInt(0) : 0;
    return absl::OkStatus();
  }));
  return cursor;
}

absl::StatusOr<bool> Ledger::AddFromOutbox(const std::string& source, int64_t from, int64_t to,
                                           const std::vector<v1::UsageRecord>& records) {
  bool taken = false;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    taken = false;
    RETURN_IF_ERROR(tx.Execute("INSERT INTO usage_cursors (source, position) VALUES (?, 0) "
                               "ON CONFLICT (source) DO NOTHING",
                               {source})
                        .status());
    ASSIGN_OR_RETURN(
        const int64_t moved,
        tx.Execute("UPDATE usage_cursors SET position = ? WHERE source = ? AND position = ?",
                   {to, source, from}));
    if (moved == 0) return absl::OkStatus();
    taken = true;
    Inserter usage(tx, "usage_records", kUsageColumns);
    for (const v1::UsageRecord& record : records) {
      RETURN_IF_ERROR(InsertUsage(usage, source, record, record.http_code(), kAnswered));
    }
    return usage.Flush();
  }));
  return taken;
}

absl::StatusOr<std::vector<v1::UsageRecord>> Ledger::ListUsage(const std::string& tenant,
                                                               const std::optional<Mark>& before,
                                                               int limit) {
  return ListNewestFirst(database_,
                         "SELECT id, time, tenant, key_id, kind, resource, model_version, "
                         "quantity, request_id, http_code, outcome, input_bytes, output_bytes, "
                         "compute_micros, units FROM usage_records",
                         tenant, before, limit, ReadUsage);
}

absl::StatusOr<std::vector<v1::AuditRecord>> Ledger::ListAudit(const std::string& tenant,
                                                               const std::optional<Mark>& before,
                                                               int limit) {
  return ListNewestFirst(database_,
                         "SELECT id, time, tenant, key_id, method, resource, peer_address, "
                         "request_id, http_code FROM audit_records",
                         tenant, before, limit, ReadAudit);
}

absl::StatusOr<std::vector<v1::UsageTotal>> Ledger::Totals(const std::string& tenant,
                                                           absl::Time start, absl::Time end) {
  std::vector<v1::UsageTotal> totals;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    totals.clear();
    return tx.ForEach(
        "SELECT kind, resource, key_id, COUNT(*), SUM(quantity), "
        "CAST(SUM(input_bytes) AS BIGINT), CAST(SUM(output_bytes) AS BIGINT), "
        "CAST(SUM(compute_micros) AS BIGINT) FROM usage_records "
        "WHERE tenant = ? AND time >= ? AND time < ? "
        "GROUP BY kind, resource, key_id ORDER BY kind, resource, key_id",
        {tenant, absl::ToUnixMicros(start), absl::ToUnixMicros(end)}, [&](const sql::Row& row) {
          v1::UsageTotal total;
          total.set_kind(row.GetString(0));
          total.set_resource(row.GetString(1));
          total.set_key_id(row.GetString(2));
          total.set_count(row.GetInt(3));
          total.set_quantity(row.GetDouble(4));
          total.set_input_bytes(row.GetInt(5));
          total.set_output_bytes(row.GetInt(6));
          total.set_compute_micros(row.GetInt(7));
          totals.push_back(std::move(total));
          return absl::OkStatus();
        });
  }));
  return totals;
}

}  // namespace slipway::gateway
