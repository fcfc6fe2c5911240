#include "services/gateway/audit/audit_log.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/crypto/encoding.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "google/protobuf/util/message_differencer.h"
#include "google/protobuf/util/time_util.h"
#include "slipway/gateway/v1/journal.pb.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;

// What audit_chain.kind holds.
enum KindColumn : int64_t { kRecord = 1, kOutcome = 2 };

constexpr int kPage = 500;
constexpr char kColumns[] =
    "id, time, tenant, key_id, method, resource, peer_address, request_id, http_code, reason, "
    "times";

v1::AuditRecord ReadRecord(const sql::Row& row) {
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
  record.set_reason(row.GetString(9));
  record.set_count(row.GetInt(10));
  return record;
}

// The row as it is once the call has ended so.
void Settle(v1::AuditRecord& record, const v1::Outcome& outcome) {
  record.set_http_code(outcome.http_code());
  if (outcome.resource().empty()) return;
  record.set_resource(outcome.resource());
  // A change belongs into the log of the tenant that it concerns, also where the operator made it.
  if (record.tenant().empty()) record.set_tenant(std::string(TenantIn(outcome.resource())));
}

// False where the row is there already.
absl::StatusOr<bool> Insert(sql::Transaction& tx, const std::string& writer,
                            const v1::AuditRecord& record) {
  ASSIGN_OR_RETURN(
      const int64_t inserted,
      tx.Execute(
          fmt::format("INSERT INTO audit_records (writer, {}) "
                      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                      "ON CONFLICT (id) DO NOTHING",
                      kColumns),
          {writer, record.id(), TimeUtil::TimestampToMicroseconds(record.time()), record.tenant(),
           record.key_id(), record.method(), record.resource(), record.peer_address(),
           record.request_id(), record.http_code(), record.reason(), record.count()}));
  return inserted > 0;
}

// False where there is no such row, or its outcome is known already.
absl::StatusOr<bool> Update(sql::Transaction& tx, const v1::Outcome& outcome) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne(fmt::format("SELECT {} FROM audit_records WHERE id = ? AND NOT EXISTS "
                              "(SELECT 1 FROM audit_chain WHERE record_id = ? AND kind = ?)",
                              kColumns),
                  {outcome.id(), outcome.id(), static_cast<int64_t>(kOutcome)}));
  if (!row) return false;
  v1::AuditRecord record = ReadRecord(*row);
  Settle(record, outcome);
  RETURN_IF_ERROR(
      tx.Execute("UPDATE audit_records SET http_code = ?, resource = ?, tenant = ? WHERE id = ?",
                 {record.http_code(), record.resource(), record.tenant(), record.id()})
          .status());
  return true;
}

std::string Signed(const std::string& writer, int64_t number, std::string_view former,
                   std::string_view entry) {
  // The purpose keeps these apart from whatever else is signed with the key.
  return fmt::format("slipway audit chain\n{}\n{}\n", writer, number).append(former).append(entry);
}

const std::string& FirstMac() {
  static const auto* const zeros = new std::string(sizeof(Sha256Bytes), '\0');
  return *zeros;
}

// One chain, walked from its beginning.
class ChainWalk {
 public:
  ChainWalk(sql::Transaction& tx, const AuditKey& key, std::string writer, AuditVerdict& verdict)
      : tx_(tx), key_(key), writer_(std::move(writer)), verdict_(verdict) {}

  absl::Status Run(const AuditHead* exported) {
    for (bool more = true; more;) {
      more = false;
      const int64_t from = last_;
      std::vector<sql::Row> rows;
      RETURN_IF_ERROR(
          tx_.ForEach("SELECT number, record_id, kind, entry, key_version, mac "
                      "FROM audit_chain WHERE writer = ? AND number > ? "
                      "ORDER BY number LIMIT ?",
                      {writer_, from, kPage}, [&](const sql::Row& row) {
                        rows.push_back(row);
                        return absl::OkStatus();
                      }));
      for (const sql::Row& row : rows) {
        Check(row, exported);
        RETURN_IF_ERROR(Replay(row));
        more = true;
      }
    }
    for (const auto& [id, record] : open_) RETURN_IF_ERROR(Compare(record));
    RETURN_IF_ERROR(FindStrangers());
    if (exported != nullptr && exported->number > last_) {
      Say(fmt::format("chain {} ends at {}, but its head {} was exported: its end was cut off",
                      writer_, last_, exported->number));
    }
    if (last_ > 0) verdict_.heads.push_back({writer_, last_, HexEncode(mac_)});
    return absl::OkStatus();
  }

 private:
  void Say(std::string fault) {
    if (verdict_.faults.size() < AuditVerdict::kMaxFaults) {
      verdict_.faults.push_back(std::move(fault));
    }
  }

  void Check(const sql::Row& row, const AuditHead* exported) {
    const int64_t number = row.GetInt(0);
    const bool follows = number == last_ + 1;
    if (!follows) {
      Say(fmt::format("chain {} lacks its entries {} to {}", writer_, last_ + 1, number - 1));
    }
    const auto mac = key_.mac(row.GetInt(4), Signed(writer_, number, mac_, row.GetBlob(3)));
    const std::string& stored = row.GetBlob(5);
    if (!mac) {
      Say(fmt::format("entry {} of chain {} was signed with key {}, which is not here", number,
                      writer_, row.GetInt(4)));
    } else if (follows && !ConstantTimeEqual(AsView(*mac), stored)) {
      Say(fmt::format("entry {} of chain {} was altered", number, writer_));
    }
    if (exported != nullptr && exported->number == number && exported->mac != HexEncode(stored)) {
      Say(fmt::format("entry {} of chain {} is not the one whose head was exported", number,
                      writer_));
    }
    last_ = number;
    mac_ = stored;
  }

  // What the row must be once this entry and those before it have been taken.
  absl::Status Replay(const sql::Row& row) {
    v1::JournalEntry entry;
    if (!entry.ParseFromString(row.GetBlob(3))) {
      Say(fmt::format("entry {} of chain {} cannot be read", last_, writer_));
      return absl::OkStatus();
    }
    const bool record = entry.has_audit();
    const std::string& id = record ? entry.audit().id() : entry.outcome().id();
    if (row.GetString(1) != id || row.GetInt(2) != (record ? kRecord : kOutcome)) {
      Say(fmt::format("entry {} of chain {} was altered", last_, writer_));
    }
    if (record) {
      open_[id] = entry.audit();
      return absl::OkStatus();
    }
    const auto found = open_.find(id);
    if (found == open_.end()) return absl::OkStatus();  // its record is missing, which was said
    Settle(found->second, entry.outcome());
    const v1::AuditRecord settled = std::move(found->second);
    open_.erase(found);
    return Compare(settled);
  }

  absl::Status Compare(const v1::AuditRecord& expected) {
    ++verdict_.rows;
    ASSIGN_OR_RETURN(
        const auto row,
        tx_.QueryOne(fmt::format("SELECT {}, writer FROM audit_records WHERE id = ?", kColumns),
                     {expected.id()}));
    if (!row) {
      Say(fmt::format("audit record {} was removed", expected.id()));
    } else if (row->GetString(11) != writer_ ||
               !google::protobuf::util::MessageDifferencer::Equals(ReadRecord(*row), expected)) {
      Say(fmt::format("audit record {} was altered", expected.id()));
    }
    return absl::OkStatus();
  }

  absl::Status FindStrangers() {
    return tx_.ForEach(
        "SELECT id FROM audit_records r WHERE writer = ? AND NOT EXISTS (SELECT 1 FROM audit_chain "
        "WHERE record_id = r.id AND kind = ? AND writer = r.writer) ORDER BY id LIMIT ?",
        {writer_, static_cast<int64_t>(kRecord), static_cast<int64_t>(AuditVerdict::kMaxFaults)},
        [&](const sql::Row& row) {
          Say(fmt::format("audit record {} is in no chain: it was put in", row.GetString(0)));
          return absl::OkStatus();
        });
  }

  sql::Transaction& tx_;
  const AuditKey& key_;
  const std::string writer_;
  AuditVerdict& verdict_;
  int64_t last_ = 0;
  std::string mac_ = FirstMac();
  std::map<std::string, v1::AuditRecord> open_;  // without their outcome
};

}  // namespace

absl::Status AuditLog::Append(sql::Transaction& tx, const std::string& writer,
                              const std::string& record_id, const v1::JournalEntry& entry) {
  ASSIGN_OR_RETURN(const auto last,
                   tx.QueryOne("SELECT number, mac FROM audit_chain WHERE writer = ? "
                               "ORDER BY number DESC LIMIT 1",
                               {writer}));
  const int64_t number = last ? last->GetInt(0) + 1 : 1;
  const std::string bytes = entry.SerializeAsString();
  const auto mac =
      key_.mac(key_.newest, Signed(writer, number, last ? last->GetBlob(1) : FirstMac(), bytes));
  if (!mac) return absl::InternalError("the key of the audit chains is missing");
  return tx
      .Execute(
          "INSERT INTO audit_chain (writer, number, record_id, kind, entry, key_version, mac) "
          "VALUES (?, ?, ?, ?, ?, ?, ?)",
          {writer, number, record_id, static_cast<int64_t>(entry.has_audit() ? kRecord : kOutcome),
           sql::Blob{bytes}, key_.newest, sql::Blob{std::string(AsView(*mac))}})
      .status();
}

absl::Status AuditLog::Add(sql::Transaction& tx, const std::string& writer,
                           const std::vector<v1::JournalEntry>& entries) {
  for (const v1::JournalEntry& entry : entries) {
    if (entry.has_audit()) {
      ASSIGN_OR_RETURN(const bool fresh, Insert(tx, writer, entry.audit()));
      if (fresh) RETURN_IF_ERROR(Append(tx, writer, entry.audit().id(), entry));
    } else if (entry.has_outcome() && entry.outcome().kind() == v1::Outcome::AUDIT) {
      ASSIGN_OR_RETURN(const bool fresh, Update(tx, entry.outcome()));
      if (fresh) RETURN_IF_ERROR(Append(tx, writer, entry.outcome().id(), entry));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::AuditRecord>> AuditLog::List(const AuditQuery& query) {
  std::string sql =
      fmt::format("SELECT {} FROM audit_records WHERE time >= ? AND time < ?", kColumns);
  sql::Params params = {absl::ToUnixMicros(query.start), absl::ToUnixMicros(query.end)};
  for (const auto& [column, value] :
       {std::pair("tenant", &query.tenant), std::pair("key_id", &query.key_id),
        std::pair("resource", &query.resource), std::pair("request_id", &query.request_id)}) {
    if (value->empty()) continue;
    sql += fmt::format(" AND {} = ?", column);
    params.emplace_back(*value);
  }
  if (query.kind == AuditQuery::Kind::kChanges) sql += " AND reason = ''";
  if (query.kind == AuditQuery::Kind::kRefusals) sql += " AND reason <> ''";
  if (query.after) {
    sql += query.newest_first ? " AND (time, id) < (?, ?)" : " AND (time, id) > (?, ?)";
    params.insert(params.end(), {query.after->first, query.after->second});
  }
  const char* const order = query.newest_first ? "DESC" : "ASC";
  sql += fmt::format(" ORDER BY time {}, id {} LIMIT ?", order, order);
  params.emplace_back(query.limit);
  std::vector<v1::AuditRecord> records;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) {
    records.clear();
    return tx.ForEach(sql, params, [&](const sql::Row& row) {
      records.push_back(ReadRecord(row));
      return absl::OkStatus();
    });
  }));
  return records;
}

absl::StatusOr<std::vector<AuditHead>> AuditLog::Heads() {
  std::vector<AuditHead> heads;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) {
    heads.clear();
    return tx.ForEach(
        "SELECT c.writer, c.number, c.mac FROM audit_chain c JOIN "
        "(SELECT writer, MAX(number) AS number FROM audit_chain GROUP BY writer) ends "
        "ON ends.writer = c.writer AND ends.number = c.number ORDER BY c.writer",
        {}, [&](const sql::Row& row) {
          heads.push_back({row.GetString(0), row.GetInt(1), HexEncode(row.GetBlob(2))});
          return absl::OkStatus();
        });
  }));
  return heads;
}

absl::StatusOr<bool> AuditLog::Holds(const AuditHead& head) {
  bool holds = false;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto row,
                     tx.QueryOne("SELECT mac FROM audit_chain WHERE writer = ? AND number = ?",
                                 {head.writer, head.number}));
    holds = row && HexEncode(row->GetBlob(0)) == head.mac;
    return absl::OkStatus();
  }));
  return holds;
}

absl::StatusOr<AuditVerdict> AuditLog::Verify(const std::vector<AuditHead>& exported) {
  AuditVerdict verdict;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    verdict = {};
    std::map<std::string, const AuditHead*> writers;
    RETURN_IF_ERROR(
        tx.ForEach("SELECT writer FROM audit_chain UNION SELECT writer FROM audit_records", {},
                   [&](const sql::Row& row) {
                     writers[row.GetString(0)] = nullptr;
                     return absl::OkStatus();
                   }));
    for (const AuditHead& head : exported) writers[head.writer] = &head;
    for (const auto& [writer, head] : writers) {
      RETURN_IF_ERROR(ChainWalk(tx, key_, writer, verdict).Run(head));
    }
    return absl::OkStatus();
  }));
  return verdict;
}

}  // namespace slipway::gateway
