#include <ostream>

#include "CLI/CLI.hpp"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

void PrintTenants(const Session& session, const json& tenants) {
  Table table({"TENANT", "NAME", "STATE", "AGE"});
  for (const json& tenant : tenants) {
    table.Add({LastSegment(TextOf(tenant, "name")), TextOf(tenant, "displayName"),
               TextOf(tenant, "state"), Age(TextOf(tenant, "createTime"), Clock::Real().Now())});
  }
  table.Print(session.out());
}

void PrintDeletion(const Session& session, const json& deletion) {
  if (const std::string report = TextOf(deletion, "report"); !report.empty()) {
    session.out() << report << "sha256 " << TextOf(deletion, "reportSha256") << '\n';
    return;
  }
  Table table({"SERVICE", "KIND", "COUNT", "STATE"});
  for (const json& part : deletion.value("parts", json::array())) {
    for (const json& removal : part.value("removals", json::array())) {
      table.Add({TextOf(part, "service"), TextOf(removal, "kind"), TextOf(removal, "count"),
                 part.value("removed", false) ? "removed" : "closed"});
    }
  }
  table.Print(session.out());
  if (const std::string reason = TextOf(deletion, "waitingFor"); !reason.empty()) {
    session.out() << "waits for " << reason << '\n';
  }
}

absl::StatusOr<json> WaitForDeletion(const Api& api, const std::string& id) {
  for (;;) {
    ASSIGN_OR_RETURN(json deletion, api.Get("/api/v1/tenants/" + id + "/deletion"));
    if (TextOf(deletion, "state") == "DONE") return deletion;
    Clock::Real().SleepFor(absl::Milliseconds(500));
  }
}

}  // namespace

void AddTenantCommands(CLI::App& root, Session& session) {
  CLI::App& tenant = *root.add_subcommand("tenant", "Tenants (operators only)");
  tenant.require_subcommand(1);

  struct Options {
    std::string id;
    std::string display_name;
    bool yes = false;
    bool wait = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App& create = *tenant.add_subcommand("create", "Makes a tenant");
  create.add_option("id", options->id, "Its id: lower-case letters, digits and '-'")->required();
  create.add_option("--display-name", options->display_name, "A name for people");
  create.footer("Example:\n  slipway tenant create acme --display-name 'ACME Ltd'");
  session.OnRun(create, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json made,
                     api.Post("/api/v1/tenants", {{"displayName", options->display_name}},
                              {{"tenantId", options->id}}));
    if (!session.PrintJson(made)) session.out() << "made " << TextOf(made, "name") << '\n';
    return absl::OkStatus();
  });

  CLI::App& list = *tenant.add_subcommand("list", "Lists the tenants");
  list.footer("Example:\n  slipway tenant list -o json");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json tenants, api.List("/api/v1/tenants", "tenants"));
    if (!session.PrintJson(tenants)) PrintTenants(session, tenants);
    return absl::OkStatus();
  });

  const auto change = [&](const char* verb, const char* description, const char* done) {
    CLI::App& command = *tenant.add_subcommand(verb, description);
    command.add_option("id", options->id, "The tenant's id")->required();
    command.footer(fmt::format("Example:\n  slipway tenant {} acme", verb));
    session.OnRun(command, [&session, options, verb = std::string(verb), done]() -> absl::Status {
      ASSIGN_OR_RETURN(const Api api, session.Connect());
      ASSIGN_OR_RETURN(
          const json changed,
          api.Post(fmt::format("/api/v1/tenants/{}:{}", options->id, verb), json::object()));
      if (!session.PrintJson(changed)) {
        session.out() << done << ' ' << TextOf(changed, "name") << '\n';
      }
      return absl::OkStatus();
    });
  };
  change("suspend", "Refuses a tenant's keys until it is resumed", "suspended");
  change("resume", "Lets a suspended tenant's keys in again", "resumed");

  CLI::App& update = *tenant.add_subcommand("update", "Changes a tenant's name for people");
  update.add_option("id", options->id, "The tenant's id")->required();
  update.add_option("--display-name", options->display_name, "A name for people")->required();
  update.footer("Example:\n  slipway tenant update acme --display-name 'ACME Ltd'");
  session.OnRun(update, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json updated, api.Call("PATCH", "/api/v1/tenants/" + options->id,
                                                  {{"displayName", options->display_name}}));
    if (!session.PrintJson(updated)) PrintTenants(session, json::array({updated}));
    return absl::OkStatus();
  });

  CLI::App& remove = *tenant.add_subcommand("delete", "Deletes a tenant and all it has, for good");
  remove.add_option("id", options->id, "The tenant's id")->required();
  remove.add_flag("--yes", options->yes, "Without it nothing is deleted");
  remove.add_flag("--wait", options->wait, "Waits for the end and shows the report");
  remove.footer("Example:\n  slipway tenant delete acme --yes --wait");
  session.OnRun(remove, [&session, options]() -> absl::Status {
    if (!options->yes) {
      return InvalidField("--yes", fmt::format("must be given: models, data, jobs, deployments and "
                                               "keys of tenants/{} go for good",
                                               options->id));
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(json deletion, api.Call("DELETE", "/api/v1/tenants/" + options->id, nullptr));
    if (options->wait) {
      ASSIGN_OR_RETURN(deletion, WaitForDeletion(api, options->id));
    }
    if (session.PrintJson(deletion)) return absl::OkStatus();
    if (!options->wait) {
      session.out() << "being deleted: see slipway tenant deletion " << options->id << '\n';
      return absl::OkStatus();
    }
    PrintDeletion(session, deletion);
    return absl::OkStatus();
  });

  CLI::App& deletion = *tenant.add_subcommand("deletion", "Shows how far a deletion has come");
  deletion.add_option("id", options->id, "The tenant's id")->required();
  deletion.footer("Example:\n  slipway tenant deletion acme");
  session.OnRun(deletion, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get("/api/v1/tenants/" + options->id + "/deletion"));
    if (!session.PrintJson(found)) PrintDeletion(session, found);
    return absl::OkStatus();
  });

  CLI::App& get = *tenant.add_subcommand("get", "Shows one tenant");
  get.add_option("id", options->id, "The tenant's id; '-' is the key's own")->required();
  get.footer("Example:\n  slipway tenant get -");
  session.OnRun(get, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get("/api/v1/tenants/" + options->id));
    if (!session.PrintJson(found)) PrintTenants(session, json::array({found}));
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
