#include <ostream>

#include "CLI/CLI.hpp"
#include "common/time/clock.h"
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

void PrintKeys(const Session& session, const json& keys) {
  Table table({"KEY", "NAME", "ROLE", "STATE", "EXPIRES", "AGE"});
  for (const json& key : keys) {
    std::string role = TextOf(key, "role").substr(std::string("ROLE_").size());
    for (char& c : role) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    table.Add({LastSegment(TextOf(key, "name")), TextOf(key, "displayName"), role,
               TextOf(key, "state"), TextOf(key, "expireTime"),
               Age(TextOf(key, "createTime"), Clock::Real().Now())});
  }
  table.Print(session.out());
}

}  // namespace

void AddKeyCommands(CLI::App& root, Session& session) {
  CLI::App& key = *root.add_subcommand("key", "API keys of a tenant");
  key.require_subcommand(1);

  struct Options {
    std::string id;
    std::string display_name;
    std::string role = "developer";
    std::string expires_in;
    std::string data_dir;
  };
  auto options = std::make_shared<Options>();

  CLI::App& create = *key.add_subcommand("create", "Makes a key and shows it, this once");
  create.add_option("--role", options->role, "What it may do")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kRoles), std::end(kRoles))))
      ->capture_default_str();
  create.add_option("--name", options->display_name, "A name for people");
  create.add_option("--expires-in", options->expires_in, "How long it lives, 720h; else for ever");
  create.footer("Example:\n  slipway --tenant acme key create --role caller --name web-shop");
  session.OnRun(create, [&session, options]() -> absl::Status {
    json body = {{"role", RoleName(options->role)}, {"displayName", options->display_name}};
    if (!options->expires_in.empty()) {
      absl::Duration life;
      if (!absl::ParseDuration(options->expires_in, &life) || life <= absl::ZeroDuration()) {
        return InvalidField("--expires-in", "must be a duration such as 720h");
      }
      body["expireTime"] =
          absl::FormatTime(absl::RFC3339_sec, Clock::Real().Now() + life, absl::UTCTimeZone());
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json made, api.Post(session.Path("keys"), body));
    if (session.PrintJson(made)) return absl::OkStatus();
    session.err() << "made " << TextOf(made, "name") << "; keep the key, it is not shown again\n";
    session.out() << TextOf(made, "secret") << '\n';
    return absl::OkStatus();
  });

  CLI::App& list = *key.add_subcommand("list", "Lists the keys of a tenant");
  list.footer("Example:\n  slipway --tenant acme key list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json keys, api.List(session.Path("keys"), "apiKeys"));
    if (!session.PrintJson(keys)) PrintKeys(session, keys);
    return absl::OkStatus();
  });

  CLI::App& revoke = *key.add_subcommand("revoke", "Ends a key at once, for good");
  revoke.add_option("id", options->id, "The key's id, as `key list` shows it")->required();
  revoke.footer("Example:\n  slipway key revoke k7f3q2");
  session.OnRun(revoke, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json gone,
                     api.Post(session.Path("keys/" + options->id + ":revoke"), json::object()));
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
