#include <cmath>
#include <memory>
#include <ostream>
#include <string>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

constexpr double kMicro = 1e6;

/// Units as people write them ("12.5") to millionths.
int64_t MicroUnits(double units) { return std::llround(units * kMicro); }

std::string Units(const json& object, const char* key) {
  return fmt::format("{:.6g}", NumberOf(object, key) / kMicro);
}

std::string LimitOf(const json& limits, const char* key) {
  const std::string text = TextOf(limits, key);
  return text.empty() || text == "0" ? "none" : text;
}

void PrintLimits(const Session& session, const json& limits) {
  std::string budget = "none";
  if (limits.contains("budget") && NumberOf(limits["budget"], "microUnits") > 0) {
    budget = fmt::format("{} a {}, {} spent", Units(limits["budget"], "microUnits"),
                         TextOf(limits["budget"], "period") == "DAY" ? "day" : "month",
                         Units(limits, "spentMicroUnits"));
  }
  Table table({"LIMIT", "AT MOST"});
  table.Add({"requests a minute", LimitOf(limits, "requestsPerMinute")});
  table.Add({"tokens a minute", LimitOf(limits, "tokensPerMinute")});
  table.Add({"predictions at once", LimitOf(limits, "concurrency")});
  table.Add({"budget", budget});
  table.Print(session.out());
}

void PrintPrices(const Session& session, const json& prices) {
  Table table({"PRICE", "MATCH", "REQUEST", "COMPUTE SECOND", "1M IN", "1M OUT"});
  for (const json& price : prices) {
    table.Add({LastSegment(TextOf(price, "name")), TextOf(price, "match"),
               Units(price, "requestMicroUnits"), Units(price, "computeSecondMicroUnits"),
               Units(price, "inputMillionMicroUnits"), Units(price, "outputMillionMicroUnits")});
  }
  table.Print(session.out());
}

}  // namespace

void AddLimitCommands(CLI::App& root, Session& session) {
  CLI::App& limit = *root.add_subcommand("limit", "What a tenant, or one of its keys, may use");
  limit.require_subcommand(1);

  struct Options {
    std::string key;
    int64_t requests = 0;
    int64_t tokens = 0;
    int64_t concurrency = 0;
    double budget = 0;
    std::string per = "month";
  };
  auto options = std::make_shared<Options>();
  const auto path = [&session, options] {
    return session.Path(options->key.empty() ? "limits"
                                             : fmt::format("keys/{}/limits", options->key));
  };

  CLI::App& get = *limit.add_subcommand("get", "Shows the limits, and what was spent");
  get.add_option("--key", options->key, "Of this key; else of the tenant");
  get.footer("Example:\n  slipway limit get --key k7f3q2");
  session.OnRun(get, [&session, path]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json limits, api.Get(path()));
    if (!session.PrintJson(limits)) PrintLimits(session, limits);
    return absl::OkStatus();
  });

  CLI::App& set = *limit.add_subcommand("set", "Changes the limits that are named; 0 is none");
  set.add_option("--key", options->key, "Of this key; else of the tenant (operators only)");
  auto* requests = set.add_option("--requests", options->requests, "Calls a minute");
  auto* tokens = set.add_option("--tokens", options->tokens, "Tokens, or rows, a minute");
  auto* at_once = set.add_option("--concurrency", options->concurrency, "Predictions at once");
  auto* budget = set.add_option("--budget", options->budget, "Units that calls may cost");
  set.add_option("--per", options->per, "How long the budget is for")
      ->check(CLI::IsMember({"day", "month"}))
      ->capture_default_str();
  for (CLI::Option* each : {requests, tokens, at_once, budget}) each->check(CLI::NonNegativeNumber);
  set.footer("Example:\n  slipway --tenant acme limit set --requests 1000 --budget 50");
  session.OnRun(set,
                [&session, options, path, requests, tokens, at_once, budget]() -> absl::Status {
                  ASSIGN_OR_RETURN(const Api api, session.Connect());
                  ASSIGN_OR_RETURN(json limits, api.Get(path()));
                  if (requests->count() > 0) limits["requestsPerMinute"] = options->requests;
                  if (tokens->count() > 0) limits["tokensPerMinute"] = options->tokens;
                  if (at_once->count() > 0) limits["concurrency"] = options->concurrency;
                  if (budget->count() > 0) {
                    limits["budget"] = {{"microUnits", MicroUnits(options->budget)},
                                        {"period", options->per == "day" ? "DAY" : "MONTH"}};
                  }
                  ASSIGN_OR_RETURN(limits, api.Call("PUT", path(), limits));
                  if (!session.PrintJson(limits)) PrintLimits(session, limits);
                  return absl::OkStatus();
                });
}

void AddPriceCommands(CLI::App& root, Session& session) {
  CLI::App& price = *root.add_subcommand("price", "What calls cost, in units (operators only)");
  price.require_subcommand(1);

  struct Options {
    std::string id;
    std::string match;
    double request = 0;
    double compute_second = 0;
    double input = 0;
    double output = 0;
  };
  auto options = std::make_shared<Options>();

  CLI::App& list = *price.add_subcommand("list", "Lists the prices");
  list.footer("Example:\n  slipway price list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json prices, api.List("/api/v1/prices", "prices"));
    if (!session.PrintJson(prices)) PrintPrices(session, prices);
    return absl::OkStatus();
  });

  CLI::App& set = *price.add_subcommand("set", "Makes a price, or replaces it");
  set.add_option("id", options->id, "Its id: lower-case letters, digits and '-'")->required();
  set.add_option("--match", options->match, "Names of deployments or versions; * is any text")
      ->required();
  for (CLI::Option* each :
       {set.add_option("--request", options->request, "Units a call"),
        set.add_option("--compute-second", options->compute_second, "Units a second of a model"),
        set.add_option("--input-million", options->input, "Units a million tokens or rows in"),
        set.add_option("--output-million", options->output, "Units a million tokens out")}) {
    each->check(CLI::NonNegativeNumber);
  }
  set.footer("Example:\n  slipway price set cnn --match 'tenants/*/models/cnn/*' --request 0.001");
  session.OnRun(set, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    const json body = {{"match", options->match},
                       {"requestMicroUnits", MicroUnits(options->request)},
                       {"computeSecondMicroUnits", MicroUnits(options->compute_second)},
                       {"inputMillionMicroUnits", MicroUnits(options->input)},
                       {"outputMillionMicroUnits", MicroUnits(options->output)}};
    ASSIGN_OR_RETURN(const json made, api.Call("PUT", "/api/v1/prices/" + options->id, body));
    if (!session.PrintJson(made)) PrintPrices(session, json::array({made}));
    return absl::OkStatus();
  });

  CLI::App& remove = *price.add_subcommand("delete", "Takes a price away: its calls cost nothing");
  remove.add_option("id", options->id, "The price's id")->required();
  remove.footer("Example:\n  slipway price delete cnn");
  session.OnRun(remove, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json gone, api.Call("DELETE", "/api/v1/prices/" + options->id, nullptr));
    if (!session.PrintJson(gone)) session.out() << "deleted prices/" << options->id << '\n';
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
