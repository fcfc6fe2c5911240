#include <ostream>

#include "CLI/CLI.hpp"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"
#include "services/cli/up/platform.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

constexpr const char* kRoles[] = {"viewer", "caller", "developer", "owner", "operator"};

std::string RoleName(const std::string& role) {
  std::string name = "ROLE_" + role;
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// "3600s", or the reason against it.
absl::StatusOr<std::string> ReadDuration(const char* option, const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration < absl::ZeroDuration()) {
    return InvalidField(option, "must be a duration such as 720h");
  }
  return fmt::format("{}s", absl::ToInt64Seconds(duration));
}

// What restricts a key, in few words.
std::string Limits(const json& key) {
  std::vector<std::string> limits;
  for (const char* list : {"allowedModels", "allowedNetworks"}) {
    for (const json& item : key.value(list, json::array())) limits.push_back(item);
  }
  return fmt::format("{}", fmt::join(limits, ","));
}

void PrintKeys(const Session& session, const json& keys) {
  Table table({"KEY", "NAME", "ROLE", "PROJECT", "ONLY", "STATE", "EXPIRES", "AGE"});
  for (const json& key : keys) {
    std::string role = TextOf(key, "role").substr(std::string("ROLE_").size());
    for (char& c : role) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    table.Add({LastSegment(TextOf(key, "name")), TextOf(key, "displayName"), role,
               LastSegment(TextOf(key, "project")), Limits(key), TextOf(key, "state"),
               TextOf(key, "expireTime"), Age(TextOf(key, "createTime"), Clock::Real().Now())});
  }
  table.Print(session.out());
}

void Show(const Session& session, const json& made, const char* what) {
  session.err() << what << ' ' << TextOf(made, "name") << "; keep the key, it is not shown again\n";
  session.out() << TextOf(made, "secret") << '\n';
}

}  // namespace

void AddKeyCommands(CLI::App& root, Session& session) {
  CLI::App& key = *root.add_subcommand("key", "API keys of a tenant, and the operators' own");
  key.require_subcommand(1);

  struct Options {
    std::string id;
    std::string display_name;
    std::string role = "developer";
    std::string expires_in;
    std::string project;
    std::vector<std::string> models;
    std::vector<std::string> networks;
    std::string overlap = "24h";
    bool admin = false;
    std::string data_dir;

    std::string Path(const Session& session, const std::string& below = "") const {
      return (admin ? "/api/v1/keys" : session.Path("keys")) + below;
    }
  };
  auto options = std::make_shared<Options>();
  const auto add_admin = [&](CLI::App& command) {
    command.add_flag("--admin", options->admin, "An operator's key, of no tenant");
  };

  CLI::App& create = *key.add_subcommand("create", "Makes a key and shows it, this once");
  create.add_option("--role", options->role, "What it may do")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kRoles), std::end(kRoles))))
      ->capture_default_str();
  create.add_option("--name", options->display_name, "A name for people");
  create.add_option("--expires-in", options->expires_in, "How long it lives, 720h; else for ever");
  create.add_option("--project", options->project, "The project that its usage is counted for");
  create.add_option("--model", options->models, "A caller's: an endpoint that it may call; repeat");
  create.add_option("--network", options->networks, "Where it may be used, 192.0.2.0/24; repeat");
  create.footer("Example:\n  slipway --tenant acme key create --role caller --name web-shop");
  session.OnRun(create, [&session, options]() -> absl::Status {
    options->admin = options->role == "operator";
    json body = {{"role", RoleName(options->role)},
                 {"displayName", options->display_name},
                 {"allowedModels", options->models},
                 {"allowedNetworks", options->networks}};
    if (!options->project.empty()) {
      body["project"] = fmt::format("{}/projects/{}", session.Tenant(), options->project);
    }
    if (!options->expires_in.empty()) {
      absl::Duration life;
      if (!absl::ParseDuration(options->expires_in, &life) || life <= absl::ZeroDuration()) {
        return InvalidField("--expires-in", "must be a duration such as 720h");
      }
      body["expireTime"] =
          absl::FormatTime(absl::RFC3339_sec, Clock::Real().Now() + life, absl::UTCTimeZone());
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json made, api.Post(options->Path(session), body));
    if (!session.PrintJson(made)) Show(session, made, "made");
    return absl::OkStatus();
  });

  CLI::App& list = *key.add_subcommand("list", "Lists the keys of a tenant");
  add_admin(list);
  list.footer("Example:\n  slipway --tenant acme key list");
  session.OnRun(list, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json keys,
                     api.List(options->Path(session), options->admin ? "adminKeys" : "apiKeys"));
    if (!session.PrintJson(keys)) PrintKeys(session, keys);
    return absl::OkStatus();
  });

  CLI::App& rotate = *key.add_subcommand("rotate", "Gives a key another secret, shown this once");
  rotate.add_option("id", options->id, "The key's id, as `key list` shows it")->required();
  rotate
      .add_option("--overlap", options->overlap, "How long the secret before works; 0: not at all")
      ->capture_default_str();
  add_admin(rotate);
  rotate.footer("Example:\n  slipway --tenant acme key rotate k7f3q2 --overlap 1h");
  session.OnRun(rotate, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string overlap, ReadDuration("--overlap", options->overlap));
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(
        const json rotated,
        api.Post(options->Path(session, "/" + options->id + ":rotate"), {{"overlap", overlap}}));
    if (!session.PrintJson(rotated)) Show(session, rotated, "rotated");
    return absl::OkStatus();
  });

  CLI::App& revoke = *key.add_subcommand("revoke", "Ends a key at once, for good");
  revoke.add_option("id", options->id, "The key's id, as `key list` shows it")->required();
  add_admin(revoke);
  revoke.footer("Example:\n  slipway key revoke k7f3q2");
  session.OnRun(revoke, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(
        const json gone,
        api.Post(options->Path(session, "/" + options->id + ":revoke"), json::object()));
    if (!session.PrintJson(gone)) session.out() << "revoked " << TextOf(gone, "name") << '\n';
    return absl::OkStatus();
  });

  CLI::App& recover =
      *key.add_subcommand("recover", "Makes another operator key while the platform is stopped");
  recover.add_option("--data-dir", options->data_dir, "The platform's data directory");
  recover.footer("Example:\n  slipway key recover --data-dir /var/lib/slipway");
  session.OnRun(recover, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string secret, RecoverAdminKey(options->data_dir));
    if (session.PrintJson({{"admin_key", secret}})) return absl::OkStatus();
    session.err() << "made another operator key; keep it, it is not shown again\n";
    session.out() << secret << '\n';
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
