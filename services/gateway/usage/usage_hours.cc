#include "services/gateway/usage/usage_hours.h"

#include <algorithm>
#include <utility>

#include "common/text/text.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/api/pages.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int64_t kHour = int64_t{3'600} * 1'000'000;

// A model version is tenants/{t}/models/{m}/versions/{n}. What SQL tells models apart by is that
// without its number, which both databases can cut off.
constexpr char kModelSql[] = "rtrim(model_version, '0123456789')";
constexpr std::string_view kVersions = "/versions/";

int64_t HourOf(int64_t micros) { return micros - micros % kHour; }

int64_t HourAfter(absl::Time time) {
  if (time == absl::InfiniteFuture()) return INT64_MAX;
  const int64_t micros = absl::ToUnixMicros(time);
  return HourOf(micros) + (micros % kHour == 0 ? 0 : kHour);
}

// A way to group: its SQL, and its value in an answer.
struct Group {
  std::string_view name;
  std::string_view sql;
  void (*set)(v1::UsageTotal& total, const sql::Row& row, size_t i);
  std::string (*get)(const v1::UsageTotal& total);
  bool number = false;
};

void SetTime(v1::UsageTotal& total, const sql::Row& row, size_t i) {
  *total.mutable_time() = TimeUtil::MicrosecondsToTimestamp(row.GetInt(i));
}
std::string GetTime(const v1::UsageTotal& total) {
  return std::to_string(TimeUtil::TimestampToMicroseconds(total.time()));
}

constexpr Group kGroups[] = {
    {"tenant", "tenant",
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) {
       total.set_tenant(row.GetString(i));
     },
     [](const v1::UsageTotal& total) { return total.tenant(); }},
    {"project", "project",
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) {
       total.set_project(row.GetString(i));
     },
     [](const v1::UsageTotal& total) { return total.project(); }},
    {"key", "key_id",
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) {
       total.set_key_id(row.GetString(i));
     },
     [](const v1::UsageTotal& total) { return total.key_id(); }},
    {"kind", "kind",
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) { total.set_kind(row.GetString(i)); },
     [](const v1::UsageTotal& total) { return total.kind(); }},
    {"resource", "resource",
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) {
       total.set_resource(row.GetString(i));
     },
     [](const v1::UsageTotal& total) { return total.resource(); }},
    {"model", kModelSql,
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) {
       std::string_view model = row.GetString(i);
       if (model.ends_with(kVersions)) model.remove_suffix(kVersions.size());
       total.set_model(std::string(model));
     },
     [](const v1::UsageTotal& total) {
       return total.model().empty() ? "" : total.model() + std::string(kVersions);
     }},
    {"version", "model_version",
     [](v1::UsageTotal& total, const sql::Row& row, size_t i) {
       total.set_model_version(row.GetString(i));
     },
     [](const v1::UsageTotal& total) { return total.model_version(); }},
    {"day", "hour - hour % 86400000000", SetTime, GetTime, true},
    {"hour", "hour", SetTime, GetTime, true},
};

const Group* FindGroup(std::string_view name) {
  const auto found = std::find_if(std::begin(kGroups), std::end(kGroups),
                                  [&](const Group& group) { return group.name == name; });
  return found == std::end(kGroups) ? nullptr : found;
}

absl::StatusOr<sql::Value> ValueOf(const Group& group, const std::string& text) {
  if (!group.number) return sql::Value(text);
  const auto number = ParseNumber<int64_t>(text);
  if (!number) return Page::NoToken();
  return sql::Value(*number);
}

}  // namespace

void UsageHours::Add(const v1::UsageRecord& record) {
  Sums& sums = sums_[{HourOf(TimeUtil::TimestampToMicroseconds(record.time())),
                      {record.tenant(), record.project(), record.key_id(), record.kind(),
                       record.resource(), record.model_version()}}];
  ++sums.calls;
  sums.quantity += record.quantity();
  sums.input_bytes += record.input_bytes();
  sums.output_bytes += record.output_bytes();
  sums.compute_micros += record.compute_micros();
  sums.units += record.units();
}

absl::Status UsageHours::Write(sql::Transaction& tx, const std::string& writer) const {
  for (const auto& [key, sums] : sums_) {
    const auto& [hour, texts] = key;
    sql::Params params = {writer, hour};
    params.insert(params.end(), texts.begin(), texts.end());
    params.insert(params.end(), {sums.calls, sums.quantity, sums.input_bytes, sums.output_bytes,
                                 sums.compute_micros, sums.units});
    RETURN_IF_ERROR(
        tx.Execute(
              "INSERT INTO usage_hours (writer, hour, tenant, project, key_id, kind, resource, "
              "model_version, calls, quantity, input_bytes, output_bytes, compute_micros, units) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
              "ON CONFLICT (tenant, hour, writer, project, key_id, kind, resource, "
              "model_version) DO UPDATE SET calls = usage_hours.calls + excluded.calls, "
              "quantity = usage_hours.quantity + excluded.quantity, "
              "input_bytes = usage_hours.input_bytes + excluded.input_bytes, "
              "output_bytes = usage_hours.output_bytes + excluded.output_bytes, "
              "compute_micros = usage_hours.compute_micros + excluded.compute_micros, "
              "units = usage_hours.units + excluded.units",
              params)
            .status());
  }
  return absl::OkStatus();
}

bool IsUsageGroup(std::string_view name) { return FindGroup(name) != nullptr; }

absl::StatusOr<std::vector<v1::UsageTotal>> ReadUsageTotals(sql::Database& database,
                                                            const UsageQuery& query) {
  std::vector<const Group*> groups;
  std::string list;
  std::string places;
  for (const std::string& name : query.group_by) {
    groups.push_back(FindGroup(name));
    if (groups.back() == nullptr) return absl::InternalError(name + " is no group");
    list += fmt::format("{}{}", list.empty() ? "" : ", ", groups.back()->sql);
    places += places.empty() ? "?" : ", ?";
  }
  std::string where = "hour >= ? AND hour < ?";
  sql::Params params = {HourOf(absl::ToUnixMicros(query.start)), HourAfter(query.end)};
  const std::string model = query.model.empty() ? "" : query.model + std::string(kVersions);
  for (const auto& [column, value] :
       {std::pair("tenant", &query.tenant), std::pair("project", &query.project),
        std::pair("key_id", &query.key_id), std::pair("kind", &query.kind),
        std::pair("resource", &query.resource), std::pair(kModelSql, &model)}) {
    if (value->empty()) continue;
    where += fmt::format(" AND {} = ?", column);
    params.emplace_back(*value);
  }
  if (!query.after.empty()) {
    if (query.after.size() != groups.size()) return Page::NoToken();
    where += fmt::format(" AND ({}) > ({})", list, places);
    for (size_t i = 0; i < groups.size(); ++i) {
      ASSIGN_OR_RETURN(auto value, ValueOf(*groups[i], query.after[i]));
      params.push_back(std::move(value));
    }
  }
  params.emplace_back(query.limit);
  const std::string sql = fmt::format(
      "SELECT {0}, CAST(SUM(calls) AS BIGINT), SUM(quantity), CAST(SUM(input_bytes) AS BIGINT), "
      "CAST(SUM(output_bytes) AS BIGINT), CAST(SUM(compute_micros) AS BIGINT), "
      "CAST(SUM(units) AS BIGINT) FROM usage_hours "
      "WHERE {1} GROUP BY {0} ORDER BY {0} LIMIT ?",
      list, where);
  std::vector<v1::UsageTotal> totals;
  RETURN_IF_ERROR(database.Read([&](sql::Transaction& tx) {
    totals.clear();
    return tx.ForEach(sql, params, [&](const sql::Row& row) {
      v1::UsageTotal& total = totals.emplace_back();
      size_t i = 0;
      for (; i < groups.size(); ++i) groups[i]->set(total, row, i);
      total.set_count(row.GetInt(i));
      total.set_quantity(row.GetDouble(i + 1));
      total.set_input_bytes(row.GetInt(i + 2));
      total.set_output_bytes(row.GetInt(i + 3));
      total.set_compute_micros(row.GetInt(i + 4));
      total.set_units(row.GetInt(i + 5));
      return absl::OkStatus();
    });
  }));
  return totals;
}

std::vector<std::string> GroupOf(const v1::UsageTotal& total,
                                 const std::vector<std::string>& group_by) {
  std::vector<std::string> values;
  for (const std::string& name : group_by) values.push_back(FindGroup(name)->get(total));
  return values;
}

}  // namespace slipway::gateway
