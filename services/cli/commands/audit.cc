#include <ostream>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"
#include "services/cli/time_range.h"
#include "services/cli/up/platform.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

struct Options {
  TimeRange range;
  std::string key;
  std::string resource;
  bool changes = false;
  bool refusals = false;
  int limit = 50;
  std::string data_dir;
  std::string request_id;
};

void AddFilters(CLI::App& command, Options& options) {
  options.range.AddOptions(command);
  command.add_option("--key", options.key, "Only what this key did");
  command.add_option("--resource", options.resource, "Only what was done to this object");
  command.add_flag("--changes", options.changes, "Only changes");
  command.add_flag("--refusals", options.refusals, "Only refusals")->excludes("--changes");
}

absl::StatusOr<Query> QueryOf(const Session& session, const Options& options) {
  Query query = session.TenantQuery();
  RETURN_IF_ERROR(options.range.AddTo(query));
  if (!options.key.empty()) query.emplace_back("keyId", options.key);
  if (!options.resource.empty()) query.emplace_back("resource", options.resource);
  if (options.changes) query.emplace_back("kind", "CHANGES");
  if (options.refusals) query.emplace_back("kind", "REFUSALS");
  return query;
}

void PrintRecords(const Session& session, const json& records) {
  Table table({"TIME", "KEY", "FROM", "WHAT", "RESOURCE", "CODE", "TIMES", "REQUEST"});
  for (const json& each : records) {
    const std::string reason = TextOf(each, "reason");
    table.Add({TextOf(each, "time"), TextOf(each, "keyId"), TextOf(each, "peerAddress"),
               reason.empty() ? LastSegment(TextOf(each, "method"))
                              : fmt::format("{} ({})", TextOf(each, "method"), reason),
               TextOf(each, "resource"), TextOf(each, "httpCode"),
               reason.empty() ? "" : TextOf(each, "count"), TextOf(each, "requestId")});
  }
  table.Print(session.out());
}

}  // namespace

void AddAuditCommands(CLI::App& root, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App& audit = *root.add_subcommand("audit", "Who changed what, or was refused");
  audit.require_subcommand(1);

  CLI::App& list = *audit.add_subcommand("list", "Lists the log, newest first");
  AddFilters(list, *options);
  list.add_option("--limit", options->limit, "How many rows")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  list.footer("Example:\n  slipway audit list --since 24h --refusals");
  session.OnRun(list, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const Query query, QueryOf(session, *options));
    ASSIGN_OR_RETURN(const json records,
                     api.List("/api/v1/audit", "auditRecords", options->limit, query));
    if (!session.PrintJson(records)) PrintRecords(session, records);
    return absl::OkStatus();
  });

  CLI::App& rows = *audit.add_subcommand("export", "Each row, oldest first, as JSON lines");
  AddFilters(rows, *options);
  rows.footer("Example:\n  slipway audit export --since 720h > audit.jsonl");
  session.OnRun(rows, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const Query query, QueryOf(session, *options));
    return session.PrintDownload(api, Target("/api/v1/audit:export", query));
  });

  CLI::App& verify = *audit.add_subcommand(
      "verify", "Finds rows that were altered, removed or put in, on\nthe machine of the gateway");
  verify.add_option("--data-dir", options->data_dir, "The platform's data directory");
  verify.footer("Example:\n  slipway audit verify --data-dir /var/lib/slipway");
  session.OnRun(verify, [options]() -> absl::Status { return VerifyAudit(options->data_dir); });

  CLI::App& explain =
      *root.add_subcommand("explain", "Why a call was refused, or what it was charged");
  explain.add_option("request", options->request_id, "The answer's x-request-id")->required();
  explain.footer("Example:\n  slipway explain 5f0c1d7a9b3e4c2d8a6f1e0b7c9d3a24");
  session.OnRun(explain, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found,
                     api.Get("/api/v1/usage:explain", {{"requestId", options->request_id}}));
    if (session.PrintJson(found)) return absl::OkStatus();
    session.out() << TextOf(found, "summary") << '\n';
    for (const json& row : found.value("usageRecords", json::array())) {
      session.out() << fmt::format("  {}  key {}  {} bytes in, {} out, {} us of compute\n",
                                   TextOf(row, "time"), TextOf(row, "keyId"),
                                   TextOf(row, "inputBytes"), TextOf(row, "outputBytes"),
                                   TextOf(row, "computeMicros"));
    }
    if (const json rows = found.value("auditRecords", json::array()); !rows.empty()) {
      PrintRecords(session, rows);
    }
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
