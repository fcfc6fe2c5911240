#include <ostream>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"

namespace slipway::cli {

using nlohmann::json;

void AddUsageCommand(CLI::App& root, Session& session) {
  struct Options {
    bool records = false;
    int limit = 50;
  };
  auto options = std::make_shared<Options>();
  CLI::App& usage = *root.add_subcommand("usage", "What a tenant used, by kind, resource and key");
  usage.add_flag("--records", options->records, "Each call instead of totals, newest first");
  usage.add_option("--limit", options->limit, "How many records")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  usage.footer("Example:\n  slipway --tenant acme usage");
  session.OnRun(usage, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    if (options->records) {
      ASSIGN_OR_RETURN(const json records,
                       api.List(session.Path("usageRecords"), "usageRecords", options->limit));
      if (session.PrintJson(records)) return absl::OkStatus();
      Table table({"TIME", "KIND", "RESOURCE", "KEY", "QUANTITY", "CODE", "REQUEST"});
      for (const json& each : records) {
        table.Add({TextOf(each, "time"), TextOf(each, "kind"),
                   LastSegment(TextOf(each, "resource")), TextOf(each, "keyId"),
                   TextOf(each, "quantity"), TextOf(each, "httpCode"), TextOf(each, "requestId")});
      }
      table.Print(session.out());
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("usage")));
    if (session.PrintJson(found)) return absl::OkStatus();
    Table table({"KIND", "RESOURCE", "KEY", "COUNT", "QUANTITY", "IN", "OUT"});
    for (const json& each : found.value("totals", json::array())) {
      table.Add({TextOf(each, "kind"), LastSegment(TextOf(each, "resource")), TextOf(each, "keyId"),
                 TextOf(each, "count"), fmt::format("{:.6g}", NumberOf(each, "quantity")),
                 Bytes(NumberOf(each, "inputBytes")), Bytes(NumberOf(each, "outputBytes"))});
    }
    table.Print(session.out());
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
