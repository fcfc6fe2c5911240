#include "services/gateway/usage/ledger.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/usage_hours.h"
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

constexpr char kUsageColumns[] =
    "id, writer, time, tenant, project, key_id, kind, resource, model_version, quantity, "
    "request_id, http_code, outcome, input_bytes, output_bytes, compute_micros, units, asked_for";
constexpr size_t kUsageWidth = 18;

// Inserts usage rows in statements of many rows, ignoring ids that are there already, and adds
// those that are new to their hours.
class UsageInserter {
 public:
  UsageInserter(sql::Transaction& tx, const std::string& writer)
      : tx_(tx), writer_(writer), full_(RowsPerInsert(tx.dialect())) {}

  absl::Status Add(const v1::UsageRecord& record, int http_code, OutcomeColumn outcome) {
    params_.insert(params_.end(),
                   {record.id(), writer_, Micros(record.time()), record.tenant(), record.project(),
                    record.key_id(), record.kind(), record.resource(), record.model_version(),
                    record.quantity(), record.request_id(), http_code,
                    static_cast<int64_t>(outcome), record.input_bytes(), record.output_bytes(),
                    record.compute_micros(), record.units(), record.asked_for()});
    records_.push_back(&record);
    return records_.size() == full_ ? Insert() : absl::OkStatus();
  }

  absl::Status Flush() {
    if (!records_.empty()) RETURN_IF_ERROR(Insert());
    return hours_.Write(tx_, writer_);
  }

 private:
  absl::Status Insert() {
    // Most hold as many rows as the one before.
    if (sql_rows_ != records_.size()) {
      sql_ = Sql(records_.size());
      sql_rows_ = records_.size();
    }
    std::set<std::string> fresh;
    RETURN_IF_ERROR(tx_.ForEach(sql_, params_, [&](const sql::Row& row) {
      fresh.insert(row.GetString(0));
      return absl::OkStatus();
    }));
    for (const v1::UsageRecord* record : records_) {
      if (fresh.erase(record->id()) > 0) hours_.Add(*record);
    }
    records_.clear();
    params_.clear();
    return absl::OkStatus();
  }

  static std::string Sql(size_t rows) {
    std::string row = "(";
    for (size_t i = 0; i < kUsageWidth; ++i) row += i == 0 ? "?" : ",?";
    row += ")";
    std::string sql = fmt::format("INSERT INTO usage_records ({}) VALUES ", kUsageColumns);
    for (size_t i = 0; i < rows; ++i) sql += i == 0 ? row : "," + row;
    return sql + " ON CONFLICT (id) DO NOTHING RETURNING id";
  }

  sql::Transaction& tx_;
  const std::string& writer_;
  const size_t full_;
  std::string sql_;
  size_t sql_rows_ = 0;
  sql::Params params_;
  std::vector<const v1::UsageRecord*> records_;
  UsageHours hours_;
};

OutcomeColumn UsageOutcome(int http_code) {
  return http_code == kCallerLeft ? kAbandoned : kAnswered;
}

absl::Status AddUsage(sql::Transaction& tx, const std::string& writer,
                      const std::vector<v1::JournalEntry>& entries) {
  // Most outcomes come in one batch with their record, and then the row is written once.
  std::map<std::string_view, const v1::Outcome*> outcomes;
  for (const v1::JournalEntry& entry : entries) {
    if (entry.has_outcome() && entry.outcome().kind() == v1::Outcome::USAGE) {
      outcomes[entry.outcome().id()] = &entry.outcome();
    }
  }
  UsageInserter usage(tx, writer);
  for (const v1::JournalEntry& entry : entries) {
    if (!entry.has_usage()) continue;
    const v1::UsageRecord& record = entry.usage();
    const auto found = outcomes.find(record.id());
    if (found == outcomes.end()) {
      RETURN_IF_ERROR(usage.Add(record, record.http_code(), kPending));
    } else {
      const int http_code = found->second->http_code();
      RETURN_IF_ERROR(usage.Add(record, http_code, UsageOutcome(http_code)));
      outcomes.erase(found);
    }
  }
  RETURN_IF_ERROR(usage.Flush());
  for (const auto& [id, outcome] : outcomes) {
    RETURN_IF_ERROR(
        tx.Execute(
              "UPDATE usage_records SET http_code = ?, outcome = ? WHERE id = ? AND outcome = 0",
              {outcome->http_code(), static_cast<int64_t>(UsageOutcome(outcome->http_code())),
               outcome->id()})
            .status());
  }
  return absl::OkStatus();
}

// kUsageColumns, of which an answer has no writer.
v1::UsageRecord ReadUsage(const sql::Row& row) {
  v1::UsageRecord record;
  record.set_id(row.GetString(0));
  *record.mutable_time() = TimeUtil::MicrosecondsToTimestamp(row.GetInt(2));
  record.set_tenant(row.GetString(3));
  record.set_project(row.GetString(4));
  record.set_key_id(row.GetString(5));
  record.set_kind(row.GetString(6));
  record.set_resource(row.GetString(7));
  record.set_model_version(row.GetString(8));
  record.set_quantity(row.GetDouble(9));
  record.set_request_id(row.GetString(10));
  record.set_http_code(static_cast<int32_t>(row.GetInt(11)));
  record.set_broken(row.GetInt(12) == kBroken);
  record.set_input_bytes(row.GetInt(13));
  record.set_output_bytes(row.GetInt(14));
  record.set_compute_micros(row.GetInt(15));
  record.set_units(row.GetInt(16));
  record.set_asked_for(row.GetString(17));
  return record;
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
    RETURN_IF_ERROR(AddUsage(tx, writer, entries));
    RETURN_IF_ERROR(audit_.Add(tx, writer, entries));
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
    UsageInserter usage(tx, source);
    for (const v1::UsageRecord& record : records) {
      RETURN_IF_ERROR(usage.Add(record, record.http_code(), kAnswered));
    }
    return usage.Flush();
  }));
  return taken;
}

absl::StatusOr<std::vector<v1::UsageRecord>> Ledger::ListUsage(const UsageList& list) {
  std::string sql =
      fmt::format("SELECT {} FROM usage_records WHERE time >= ? AND time < ?", kUsageColumns);
  sql::Params params = {absl::ToUnixMicros(list.start), absl::ToUnixMicros(list.end)};
  for (const auto& [column, value] :
       {std::pair("tenant", &list.tenant), std::pair("request_id", &list.request_id)}) {
    if (value->empty()) continue;
    sql += fmt::format(" AND {} = ?", column);
    params.emplace_back(*value);
  }
  if (list.after && list.newest_first) {
    sql += " AND (time, id) < (?, ?)";
    params.insert(params.end(), {list.after->time_micros, list.after->id});
  } else if (list.after) {
    sql += " AND (tenant, time, id) > (?, ?, ?)";
    params.insert(params.end(), {list.after->tenant, list.after->time_micros, list.after->id});
  }
  sql += list.newest_first ? " ORDER BY time DESC, id DESC" : " ORDER BY tenant, time, id";
  sql += " LIMIT ?";
  params.emplace_back(list.limit);
  std::vector<v1::UsageRecord> records;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) {
    records.clear();
    return tx.ForEach(sql, params, [&](const sql::Row& row) {
      records.push_back(ReadUsage(row));
      return absl::OkStatus();
    });
  }));
  return records;
}

absl::StatusOr<std::vector<v1::UsageTotal>> Ledger::Totals(const UsageQuery& query) {
  return ReadUsageTotals(database_, query);
}

}  // namespace slipway::gateway
