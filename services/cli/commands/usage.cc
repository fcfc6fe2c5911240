#include <ostream>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"
#include "services/cli/time_range.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

struct Options {
  bool records = false;
  int limit = 50;
  std::vector<std::string> group_by = {"kind", "resource", "key"};
  TimeRange range;
};

struct Column {
  const char* group;
  const char* head;
  const char* field;
};
constexpr Column kColumns[] = {{"tenant", "TENANT", "tenant"},
                               {"project", "PROJECT", "project"},
                               {"key", "KEY", "keyId"},
                               {"kind", "KIND", "kind"},
                               {"resource", "RESOURCE", "resource"},
                               {"model", "MODEL", "model"},
                               {"version", "VERSION", "modelVersion"},
                               {"day", "DAY", "time"},
                               {"hour", "HOUR", "time"}};

// "2026-01-31" of a day, "2026-01-31T13:00" of an hour, else what stands behind the last '/'.
std::string Cell(const Column& column, const json& total) {
  const std::string text = TextOf(total, column.field);
  if (column.head == std::string_view("DAY")) return text.substr(0, 10);
  if (column.head == std::string_view("HOUR")) return text.substr(0, 16);
  return LastSegment(text);
}

absl::Status PrintRecords(Session& session, const Api& api, const Options& options) {
  ASSIGN_OR_RETURN(const json records,
                   api.List(session.Path("usageRecords"), "usageRecords", options.limit));
  if (session.PrintJson(records)) return absl::OkStatus();
  Table table({"TIME", "KIND", "RESOURCE", "KEY", "QUANTITY", "CODE", "REQUEST"});
  for (const json& each : records) {
    table.Add({TextOf(each, "time"), TextOf(each, "kind"), LastSegment(TextOf(each, "resource")),
               TextOf(each, "keyId"), TextOf(each, "quantity"), TextOf(each, "httpCode"),
               TextOf(each, "requestId")});
  }
  table.Print(session.out());
  return absl::OkStatus();
}

absl::Status PrintTotals(Session& session, const Api& api, const Options& options) {
  Query query = session.TenantQuery();
  RETURN_IF_ERROR(options.range.AddTo(query));
  std::vector<std::string> heads;
  std::vector<const Column*> columns;
  for (const std::string& group : options.group_by) {
    query.emplace_back("groupBy", group);
    for (const Column& column : kColumns) {
      if (group == column.group) columns.push_back(&column);
    }
    heads.emplace_back(columns.back()->head);
  }
  ASSIGN_OR_RETURN(const json totals, api.List("/api/v1/usage", "totals", INT64_MAX, query));
  if (session.PrintJson({{"totals", totals}})) return absl::OkStatus();
  heads.insert(heads.end(), {"COUNT", "QUANTITY", "IN", "OUT"});
  Table table(heads);
  for (const json& each : totals) {
    std::vector<std::string> cells;
    for (const Column* column : columns) cells.push_back(Cell(*column, each));
    cells.insert(cells.end(),
                 {TextOf(each, "count"), fmt::format("{:.6g}", NumberOf(each, "quantity")),
                  Bytes(NumberOf(each, "inputBytes")), Bytes(NumberOf(each, "outputBytes"))});
    table.Add(std::move(cells));
  }
  table.Print(session.out());
  return absl::OkStatus();
}

}  // namespace

void AddUsageCommand(CLI::App& root, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App& usage = *root.add_subcommand("usage", "What was used, added up as one asks");
  std::vector<std::string> groups;
  for (const Column& column : kColumns) groups.emplace_back(column.group);
  usage
      .add_option("--group-by", options->group_by,
                  "Any of tenant, project, key, kind, resource,\nmodel, version, day, hour")
      ->delimiter(',')
      ->check(CLI::IsMember(groups))
      ->option_text("WHAT,...");
  options->range.AddOptions(usage);
  usage.add_flag("--records", options->records, "Each call instead of totals, newest first");
  usage.add_option("--limit", options->limit, "How many records")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  usage.footer("Example:\n  slipway --tenant acme usage --group-by day,model --since 720h");

  CLI::App& rows = *usage.add_subcommand("export", "Each row, oldest first, as CSV");
  options->range.AddOptions(rows);
  rows.footer("Example:\n  slipway usage export --since 720h > usage.csv");

  session.OnRun(usage, [&session, options, &rows]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    if (rows.parsed()) {
      Query query = session.TenantQuery();
      RETURN_IF_ERROR(options->range.AddTo(query));
      return session.PrintDownload(api, Target("/api/v1/usage:export", query));
    }
    if (options->records) return PrintRecords(session, api, *options);
    return PrintTotals(session, api, *options);
  });
}

}  // namespace slipway::cli
