#include "services/gateway/limits/sql_limit_store.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/identity/tenant_content.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "slipway/gateway/v1/limit_state.pb.h"

namespace slipway::gateway {
namespace {

// A change that was made by then may become visible only now.
constexpr absl::Duration kLate = absl::Seconds(2);

constexpr char kLimitColumns[] = "subject, requests, tokens, concurrency, budget, period";
constexpr char kPriceColumns[] =
    "id, pattern, request, compute_second, input_million, output_million";

LimitsRecord ReadLimits(const sql::Row& row) {
  LimitsRecord record{.subject = row.GetString(0), .limits = {}};
  for (const Quantity quantity : kQuantities) {
    record.limits.most[quantity] = row.GetInt(1 + static_cast<size_t>(quantity));
  }
  record.limits.period = static_cast<Period>(row.GetInt(5));
  return record;
}

Price ReadPrice(const sql::Row& row) {
  return {.id = row.GetString(0),
          .match = row.GetString(1),
          .request = row.GetInt(2),
          .compute_second = row.GetInt(3),
          .input_million = row.GetInt(4),
          .output_million = row.GetInt(5)};
}

// The number of the next change, which replicas read by: its row's lock makes numbers appear in
// the order of commits.
absl::Status BumpHead(sql::Transaction& tx, bool prices) {
  return tx
      .Execute(prices ? "UPDATE limits_head SET sequence = sequence + 1, prices_sequence = "
                        "sequence + 1 WHERE one = 1"
                      : "UPDATE limits_head SET sequence = sequence + 1 WHERE one = 1")
      .status();
}

absl::StatusOr<Limits> FindLimits(sql::Transaction& tx, const std::string& subject) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne(fmt::format("SELECT {} FROM limits WHERE subject = ?", kLimitColumns),
                  {subject}));
  return row ? ReadLimits(*row).limits : Limits();
}

absl::Status CheckWithin(const Limits& limits, const Limits& tenant, std::string_view tenant_name) {
  constexpr const char* kFields[] = {"limits.requestsPerMinute", "limits.tokensPerMinute",
                                     "limits.concurrency", "limits.budget"};
  for (const Quantity quantity : kQuantities) {
    const int64_t most = tenant.most[quantity];
    // A day's budget and a month's cannot be compared; the tenant's holds all the same.
    if (quantity == Quantity::kBudget && limits.period != tenant.period) continue;
    if (most == 0 || limits.most[quantity] <= most) continue;
    return InvalidField(kFields[static_cast<size_t>(quantity)],
                        fmt::format("must not be above that of {}, {}", tenant_name, most));
  }
  return absl::OkStatus();
}

using MeterKey = std::pair<std::string, int64_t>;

MeterKey KeyOf(const LeaseRequest& request) {
  return {request.subject, static_cast<int64_t>(request.quantity)};
}

// Of what is limited still: the last words of a deleted tenant's calls leave no row.
absl::StatusOr<std::map<MeterKey, v1::MeterState>> ReadStates(
    sql::Transaction& tx, const std::vector<LeaseRequest>& requests) {
  std::map<MeterKey, v1::MeterState> states;
  std::set<std::string> limited;
  std::string places;
  sql::Params subjects;
  for (const LeaseRequest& request : requests) {
    states[KeyOf(request)];
    places += places.empty() ? "?" : ",?";
    subjects.emplace_back(request.subject);
  }
  RETURN_IF_ERROR(tx.ForEach(
      fmt::format("SELECT l.subject, m.quantity, m.state FROM limits l LEFT JOIN limit_meters m "
                  "ON m.subject = l.subject WHERE l.subject IN ({})",
                  places),
      subjects, [&](const sql::Row& row) -> absl::Status {
        limited.insert(row.GetString(0));
        const std::optional<int64_t> quantity = row.GetOptionalInt(1);
        if (!quantity) return absl::OkStatus();
        const auto state = states.find({row.GetString(0), *quantity});
        if (state == states.end() || state->second.ParseFromString(row.GetBlob(2))) {
          return absl::OkStatus();
        }
        return absl::InternalError(
            fmt::format("the state of {}'s limits cannot be read", row.GetString(0)));
      }));
  std::erase_if(states, [&](const auto& state) { return !limited.contains(state.first.first); });
  return states;
}

absl::Status WriteStates(sql::Transaction& tx, const std::map<MeterKey, v1::MeterState>& states,
                         const std::map<MeterKey, LeaseAnswer>& answers, absl::Time now) {
  if (states.empty()) return absl::OkStatus();
  std::string rows;
  sql::Params params;
  for (const auto& [key, state] : states) {
    const LeaseAnswer& answer = answers.at(key);
    rows += rows.empty() ? "(?,?,?,?,?,?)" : ",(?,?,?,?,?,?)";
    params.insert(params.end(),
                  {key.first, key.second, sql::Blob{state.SerializeAsString()}, answer.left,
                   answer.frees_in == absl::InfiniteDuration()
                       ? sql::Value(nullptr)
                       : sql::Value(absl::ToUnixMicros(now + answer.frees_in)),
                   absl::ToUnixMicros(now)});
  }
  return tx
      .Execute(fmt::format("INSERT INTO limit_meters (subject, quantity, state, left_for_all, "
                           "free_time, change_time) VALUES {} "
                           "ON CONFLICT (subject, quantity) DO UPDATE SET state = excluded.state, "
                           "left_for_all = excluded.left_for_all, free_time = excluded.free_time, "
                           "change_time = excluded.change_time",
                           rows),
               params)
      .status();
}

}  // namespace

absl::StatusOr<SqlLimitStore::LimitsNow> SqlLimitStore::GetLimits(const std::string& subject) {
  LimitsNow now;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    now = LimitsNow();
    ASSIGN_OR_RETURN(now.limits, FindLimits(tx, subject));
    ASSIGN_OR_RETURN(
        const auto row,
        tx.QueryOne("SELECT state FROM limit_meters WHERE subject = ? AND quantity = ?",
                    {subject, static_cast<int64_t>(Quantity::kBudget)}));
    v1::MeterState state;
    if (!row || !state.ParseFromString(row->GetBlob(0))) return absl::OkStatus();
    ASSIGN_OR_RETURN(const absl::Time time, Now(tx));
    const absl::Time start = PeriodStart(now.limits.period, time);
    if (state.period_start_micros() == absl::ToUnixMicros(start)) now.spent = state.spent();
    return absl::OkStatus();
  }));
  return now;
}

absl::Status SqlLimitStore::SetLimits(const LimitsRecord& record, const std::string& within) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    if (!within.empty()) {
      ASSIGN_OR_RETURN(const Limits tenant, FindLimits(tx, within));
      RETURN_IF_ERROR(CheckWithin(record.limits, tenant, within));
    }
    RETURN_IF_ERROR(BumpHead(tx, /*prices=*/false));
    sql::Params params = {record.subject};
    for (const Quantity quantity : kQuantities) {
      params.emplace_back(record.limits.most[quantity]);
    }
    params.emplace_back(static_cast<int64_t>(record.limits.period));
    return tx
        .Execute(fmt::format("INSERT INTO limits ({}, sequence) "
                             "SELECT ?, ?, ?, ?, ?, ?, sequence FROM limits_head WHERE one = 1 "
                             "ON CONFLICT (subject) DO UPDATE SET requests = excluded.requests, "
                             "tokens = excluded.tokens, concurrency = excluded.concurrency, "
                             "budget = excluded.budget, period = excluded.period, "
                             "sequence = excluded.sequence",
                             kLimitColumns),
                 params)
        .status();
  });
}

absl::StatusOr<std::vector<Price>> SqlLimitStore::ListPrices(const std::string& after, int limit) {
  std::vector<Price> prices;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    prices.clear();
    return tx.ForEach(
        fmt::format("SELECT {} FROM prices WHERE id > ? ORDER BY id LIMIT ?", kPriceColumns),
        {after, limit}, [&](const sql::Row& row) {
          prices.push_back(ReadPrice(row));
          return absl::OkStatus();
        });
  }));
  return prices;
}

absl::Status SqlLimitStore::SetPrice(const Price& price) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto others,
                     tx.QueryOne("SELECT COUNT(*) FROM prices WHERE id <> ?", {price.id}));
    if (others->GetInt(0) >= kMaxPrices) {
      return absl::FailedPreconditionError(
          fmt::format("there are {} prices already: delete some", kMaxPrices));
    }
    RETURN_IF_ERROR(BumpHead(tx, /*prices=*/true));
    return tx
        .Execute(fmt::format("INSERT INTO prices ({}) VALUES (?, ?, ?, ?, ?, ?) "
                             "ON CONFLICT (id) DO UPDATE SET pattern = excluded.pattern, "
                             "request = excluded.request, "
                             "compute_second = excluded.compute_second, "
                             "input_million = excluded.input_million, "
                             "output_million = excluded.output_million",
                             kPriceColumns),
                 {price.id, price.match, price.request, price.compute_second, price.input_million,
                  price.output_million})
        .status();
  });
}

absl::Status SqlLimitStore::DeletePrice(const std::string& id) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t deleted, tx.Execute("DELETE FROM prices WHERE id = ?", {id}));
    if (deleted == 0) return NotFound("prices/" + id);
    return BumpHead(tx, /*prices=*/true);
  });
}

absl::StatusOr<identity::v1::PurgeTenantResponse> SqlLimitStore::PurgeTenant(
    const std::string& tenant, bool remove) {
  // Of the tenant itself and of its keys: '0' comes after '/'.
  constexpr std::string_view kOfTenant = "subject = ? OR (subject > ? AND subject < ?)";
  const std::string name = TenantName{tenant}.ToString();
  const sql::Params subjects = {name, name + "/", name + "0"};
  identity::v1::PurgeTenantResponse content;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    content.Clear();
    for (const auto& [table, columns] :
         {std::pair("limits", "subject"),
          std::pair("limit_meters", "subject || ' ' || CAST(quantity AS TEXT)")}) {
      if (remove) {
        RETURN_IF_ERROR(
            tx.Execute(fmt::format("DELETE FROM {} WHERE {}", table, kOfTenant), subjects)
                .status());
      }
      std::vector<std::string> names;
      RETURN_IF_ERROR(
          tx.ForEach(fmt::format("SELECT {} FROM {} WHERE {}", columns, table, kOfTenant), subjects,
                     [&](const sql::Row& row) {
                       names.push_back(row.GetString(0));
                       return absl::OkStatus();
                     }));
      AddKind(table, std::move(names), content);
    }
    return absl::OkStatus();
  }));
  content.set_done(remove);
  return content;
}

absl::StatusOr<absl::Time> SqlLimitStore::Now(sql::Transaction& tx) const {
  if (tx.dialect() == sql::Dialect::kSqlite) return clock_.Now();
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"));
  return absl::FromUnixMicros(row->GetInt(0));
}

absl::Status SqlLimitStore::Register(const std::string& replica) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const absl::Time now, Now(tx));
    // Whoever else stands in a file was killed.
    const absl::Time gone =
        tx.dialect() == sql::Dialect::kSqlite ? now + kReplicaTime : now - kReplicaTime;
    RETURN_IF_ERROR(tx.Execute("DELETE FROM limit_replicas WHERE seen_time < ? AND id <> ?",
                               {absl::ToUnixMicros(gone), replica})
                        .status());
    return tx
        .Execute(
            "INSERT INTO limit_replicas (id, seen_time) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET seen_time = excluded.seen_time",
            {replica, absl::ToUnixMicros(now)})
        .status();
  });
}

absl::Status SqlLimitStore::Leave(const std::string& replica) {
  return database_.Write([&](sql::Transaction& tx) {
    return tx.Execute("DELETE FROM limit_replicas WHERE id = ?", {replica}).status();
  });
}

absl::StatusOr<LimitsLook> SqlLimitStore::Look(const LimitsCursor& since) {
  LimitsLook look;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    look = LimitsLook();
    ASSIGN_OR_RETURN(const absl::Time now, Now(tx));
    ASSIGN_OR_RETURN(
        const auto head,
        tx.QueryOne("SELECT sequence, prices_sequence, (SELECT COUNT(*) FROM limit_replicas "
                    "WHERE seen_time >= ?) FROM limits_head WHERE one = 1",
                    {absl::ToUnixMicros(now - kReplicaTime)}));
    look.cursor = {.limits = head->GetInt(0), .meters = now};
    look.replicas = static_cast<int>(std::max<int64_t>(head->GetInt(2), 1));
    if (look.cursor.limits != since.limits) {
      RETURN_IF_ERROR(
          tx.ForEach(fmt::format("SELECT {} FROM limits WHERE sequence > ?", kLimitColumns),
                     {since.limits}, [&](const sql::Row& row) {
                       look.limits.push_back(ReadLimits(row));
                       return absl::OkStatus();
                     }));
    }
    look.prices_changed = head->GetInt(1) > since.limits;
    if (look.prices_changed) {
      RETURN_IF_ERROR(tx.ForEach(fmt::format("SELECT {} FROM prices", kPriceColumns), {},
                                 [&](const sql::Row& row) {
                                   look.prices.push_back(ReadPrice(row));
                                   return absl::OkStatus();
                                 }));
    }
    const int64_t from =
        since.meters == absl::InfinitePast() ? 0 : absl::ToUnixMicros(since.meters - kLate);
    return tx.ForEach(
        "SELECT subject, quantity, left_for_all, free_time, change_time FROM limit_meters "
        "WHERE change_time > ?",
        {from}, [&](const sql::Row& row) {
          const auto free_time = row.GetOptionalInt(3);
          look.meters.push_back({.subject = row.GetString(0),
                                 .quantity = static_cast<Quantity>(row.GetInt(1)),
                                 .left = row.GetInt(2),
                                 .frees_in = free_time ? absl::FromUnixMicros(*free_time) - now
                                                       : absl::InfiniteDuration(),
                                 .age = now - absl::FromUnixMicros(row.GetInt(4))});
          return absl::OkStatus();
        });
  }));
  return look;
}

absl::StatusOr<int64_t> SqlLimitStore::LedgerSpent(const LeaseRequest& request) {
  const auto key = KeyName::Parse("", request.subject);
  const auto tenant = TenantName::Parse("", request.subject);
  int64_t spent = 0;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const absl::Time now, Now(tx));
    sql::Params params = {key.ok() ? key->tenant : tenant.value().tenant,
                          absl::ToUnixMicros(PeriodStart(request.period, now))};
    if (key.ok()) params.emplace_back(key->id);
    ASSIGN_OR_RETURN(
        const auto row,
        // Periods begin with an hour.
        tx.QueryOne(fmt::format("SELECT CAST(COALESCE(SUM(units), 0) AS BIGINT) FROM usage_hours "
                                "WHERE tenant = ? AND hour >= ?{}",
                                key.ok() ? " AND key_id = ?" : ""),
                    params));
    spent = row->GetInt(0);
    return absl::OkStatus();
  }));
  return spent;
}

absl::StatusOr<std::vector<LeaseAnswer>> SqlLimitStore::Exchange(
    const std::string& replica, int replicas, const std::vector<LeaseRequest>& requests) {
  std::map<MeterKey, int64_t> ledger;
  std::map<MeterKey, LeaseAnswer> answers;
  for (;;) {
    const LeaseRequest* unknown = nullptr;
    const absl::Status done = database_.Write([&](sql::Transaction& tx) -> absl::Status {
      unknown = nullptr;
      answers.clear();
      ASSIGN_OR_RETURN(auto states, ReadStates(tx, requests));
      ASSIGN_OR_RETURN(const absl::Time now, Now(tx));
      for (const LeaseRequest& request : requests) {
        const MeterKey key = KeyOf(request);
        const auto spent = ledger.find(key);
        v1::MeterState forgotten;
        const auto state = states.find(key);
        const auto answer =
            Share(state == states.end() ? forgotten : state->second, replica, request, replicas,
                  now, spent == ledger.end() ? std::nullopt : std::optional(spent->second));
        if (!answer) {
          unknown = &request;
          return absl::FailedPreconditionError("what was spent has to be read first");
        }
        answers[key] = *answer;
      }
      return WriteStates(tx, states, answers, now);
    });
    if (unknown == nullptr) {
      RETURN_IF_ERROR(done);
      break;
    }
    // In a transaction of its own: it reads what the ledger's own writers write all the time.
    ASSIGN_OR_RETURN(ledger[KeyOf(*unknown)], LedgerSpent(*unknown));
  }
  std::vector<LeaseAnswer> in_order;
  for (const LeaseRequest& request : requests) in_order.push_back(answers.at(KeyOf(request)));
  return in_order;
}

}  // namespace slipway::gateway
