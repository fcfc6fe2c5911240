#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

void PrintDeployments(const Session& session, const json& deployments) {
  Table table({"DEPLOYMENT", "STATE", "WANTED", "SERVING", "READY", "POOL", "ERROR"});
  for (const json& each : deployments) {
    const std::string wanted = TextOf(each, "modelVersion");
    const size_t models = wanted.find("/models/");
    table.Add({LastSegment(TextOf(each, "name")), TextOf(each, "state"),
               models == std::string::npos ? wanted : wanted.substr(models + 8),
               LastSegment(TextOf(each, "servingVersion")), TextOf(each, "readyReplicas"),
               TextOf(each, "pool"), TextOf(each, "error")});
  }
  table.Print(session.out());
}

// As the API writes a choice.
std::string UpperCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// What is known of the version that serves.
void PrintFacts(const Session& session, const json& deployment) {
  const json facts = deployment.value("facts", json::object());
  if (facts.empty()) return;
  session.out() << fmt::format(
      "\nplatform  {}\nruns      {} at once a worker, each of up to {} rows on {} threads\n",
      TextOf(facts, "platform"), NumberOf(facts, "instances"), NumberOf(facts, "maxRows"),
      NumberOf(facts, "threads"));
  if (!facts.contains("precisionCheck")) return;
  const json& check = facts["precisionCheck"];
  session.out() << fmt::format(
      "bfloat16 against float32 on {} samples: outputs differ by at most {:.2g}, {} labels "
      "change\n",
      NumberOf(check, "samples"), NumberOf(check, "largestDifference"),
      NumberOf(check, "changedLabels"));
}

// Why the newest rollout stands where it stands, and, while it runs, what was measured.
void PrintRollout(const Session& session, const json& deployment) {
  if (!deployment.contains("lastRollout")) return;
  const json& rollout = deployment["lastRollout"];
  session.out() << fmt::format("\nrollout of {} beside {}: {}: {}\n",
                               LastSegment(TextOf(rollout, "candidateVersion")),
                               LastSegment(TextOf(rollout, "stableVersion")),
                               TextOf(rollout, "state"), TextOf(rollout, "reason"));
  if (TextOf(rollout, "state") != "RUNNING") return;
  Table table({"VERSION", "ROLE", "SHARE", "CALLS", "ERRORS", "P95"});
  const auto add = [&](const char* role, const std::string& version, int share) {
    const json traffic = rollout.value(role, json::object());
    const double calls = NumberOf(traffic, "calls");
    const double errors = NumberOf(traffic, "errors");
    table.Add(
        {LastSegment(version), role, fmt::format("{}%", share), fmt::format("{}", calls),
         calls > 0 ? fmt::format("{:.2f}%", 100 * errors / calls) : "-",
         calls > 0 ? fmt::format("{:.1f} ms", 1e3 * NumberOf(traffic, "latencyP95Seconds")) : "-"});
  };
  const int percent = static_cast<int>(NumberOf(rollout, "percent"));
  add("candidate", TextOf(rollout, "candidateVersion"), percent);
  add("stable", TextOf(rollout, "stableVersion"), 100 - percent);
  table.Print(session.out());
}

// Where calls go beside its versions, and what was seen of the copies.
void PrintRouting(const Session& session, const json& deployment) {
  const json routing = deployment.value("routing", json::object());
  const auto print = [&](const char* what, const std::string& text) {
    if (!text.empty()) session.out() << fmt::format("{:<9} {}\n", what, text);
  };
  if (!routing.empty()) session.out() << '\n';
  print("timeout", TextOf(routing, "timeout"));
  print("sticky by", TextOf(routing, "stickyHeader"));
  print("fallback", LastSegment(TextOf(routing, "fallback")));
  if (!routing.contains("shadow")) return;
  const json& shadow = routing["shadow"];
  const std::string version = TextOf(shadow, "version");
  print("shadow", fmt::format("{}% of the calls also to {}{}", NumberOf(shadow, "percent"),
                              LastSegment(TextOf(shadow, "deployment")),
                              version.empty() ? "" : " version " + version));
  const json seen = deployment.value("shadowTraffic", json::object());
  const double calls =
      NumberOf(seen, "agreed") + NumberOf(seen, "differed") + NumberOf(seen, "failed");
  Table table(
      {"COPIES", "AGREED", "DIFFERED", "FAILED", "SKIPPED", "P50", "P95", "ITS P50", "ITS P95"});
  const auto share = [&](const char* field) {
    return calls == 0 ? "-" : fmt::format("{:.2f}%", 100 * NumberOf(seen, field) / calls);
  };
  const auto millis = [&](const char* field) {
    return calls == 0 ? "-" : fmt::format("{:.1f} ms", 1e3 * NumberOf(seen, field));
  };
  table.Add({fmt::format("{}", calls), share("agreed"), share("differed"), share("failed"),
             fmt::format("{}", NumberOf(seen, "skipped")), millis("latencyP50Seconds"),
             millis("latencyP95Seconds"), millis("originalLatencyP50Seconds"),
             millis("originalLatencyP95Seconds")});
  table.Print(session.out());
}

absl::StatusOr<std::string> ProtoDuration(const std::string& option, const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) {
    return InvalidField(option, "must be a duration such as 90s or 5m");
  }
  return fmt::format("{:.3f}s", absl::ToDoubleSeconds(duration));
}

// One dimension, in all tensors that have it: "tokens:1=0".
absl::StatusOr<json> PaddingOf(const std::vector<std::string>& places,
                               const std::vector<int64_t>& buckets) {
  json padding = {{"axes", json::array()}, {"buckets", buckets}};
  for (const std::string& place : places) {
    const size_t equals = place.rfind('=');
    const size_t colon = place.rfind(':', equals);
    int axis = 0;
    double value = 0;
    bool good = colon != std::string::npos &&
                absl::SimpleAtoi(place.substr(colon + 1, equals - colon - 1), &axis);
    if (equals != std::string::npos) {
      // JSON has no other numbers.
      good = good && absl::SimpleAtod(place.substr(equals + 1), &value) && std::isfinite(value);
    }
    if (!good) return InvalidField("--pad", "must be name:axis or name:axis=value");
    padding["axes"].push_back(
        {{"tensor", place.substr(0, colon)}, {"axis", axis}, {"value", value}});
  }
  return padding;
}

// How a deployment moves to another version, as options.
struct RolloutOptions {
  std::string strategy;
  int percent = 0;
  std::vector<int> steps;
  std::string step_time;
  int64_t min_calls = 0;
  double max_error_increase = 0;
  double max_latency_ratio = 0;
  std::string keep_previous;

  void AddTo(CLI::App& command) {
    CLI::Option* chosen =
        command.add_option("--strategy", strategy, "How calls move to another version")
            ->check(CLI::IsMember({"direct", "canary", "blue-green", "weighted"}));
    const auto add = [&](const char* name, auto& into, const char* text) {
      return command.add_option(name, into, text)->needs(chosen);
    };
    add("--percent", percent, "weighted: its share of the calls")->check(CLI::Range(0, 100));
    add("--steps", steps, "canary: its shares, such as 5,25,50")->delimiter(',');
    add("--step-time", step_time, "canary: least time of a step; 60s");
    add("--min-calls", min_calls, "canary: least calls of a step; 100");
    add("--max-error-increase", max_error_increase, "canary: more failed calls, at most; 0.01");
    add("--max-latency-ratio", max_latency_ratio, "canary: times the latency, at most; 1.5");
    add("--keep-previous", keep_previous, "The version before stays loaded; 10m");
  }

  // Null where no strategy was chosen.
  absl::StatusOr<json> Body() const {
    if (strategy.empty()) return json();
    json body = {{"strategy", strategy == "blue-green" ? "BLUE_GREEN" : UpperCase(strategy)},
                 {"percent", percent},
                 {"steps", steps},
                 {"minCalls", min_calls},
                 {"maxErrorIncrease", max_error_increase},
                 {"maxLatencyRatio", max_latency_ratio}};
    if (!step_time.empty()) {
      ASSIGN_OR_RETURN(body["stepTime"], ProtoDuration("--step-time", step_time));
    }
    if (!keep_previous.empty()) {
      ASSIGN_OR_RETURN(body["keepPrevious"], ProtoDuration("--keep-previous", keep_previous));
    }
    return body;
  }
};

// How a deployment's calls are served, as options. Those that are not given stay as they are.
struct RoutingOptions {
  std::string timeout;
  std::string sticky_header;
  std::string fallback;
  std::string shadow;
  std::string shadow_version;
  double shadow_percent = 0;
  double shadow_tolerance = 0;

  void AddTo(CLI::App& command) {
    command.add_option("--call-timeout", timeout, "For one call, such as 5s; none: the gateway's");
    command.add_option("--sticky-header", sticky_header,
                       "Calls with the same value of it stay together");
    command.add_option("--fallback", fallback, "The deployment to ask where this one cannot");
    CLI::Option* copied = command.add_option("--shadow", shadow, "Copy calls to this deployment");
    const auto add = [&](const char* name, auto& into, const char* text) {
      command.add_option(name, into, text)->needs(copied);
    };
    add("--shadow-version", shadow_version, "To this version of it");
    add("--shadow-percent", shadow_percent, "So many of the calls; 100");
    add("--shadow-tolerance", shadow_tolerance, "How far numbers may lie apart; 0.001");
  }

  bool given() const {
    return !(timeout.empty() && sticky_header.empty() && fallback.empty() && shadow.empty());
  }

  // `routing` with what was chosen; "none" takes something away.
  absl::StatusOr<json> Change(json routing, const Session& session) const {
    const auto set = [&](const char* field, const std::string& text, const json& value) {
      if (text == "none") {
        routing.erase(field);
      } else if (!text.empty()) {
        routing[field] = value;
      }
    };
    const auto name = [&](const std::string& id) {
      return session.Tenant() + "/deployments/" + id;
    };
    std::string duration;
    if (!timeout.empty() && timeout != "none") {
      ASSIGN_OR_RETURN(duration, ProtoDuration("--call-timeout", timeout));
    }
    set("timeout", timeout, duration);
    set("stickyHeader", sticky_header, sticky_header);
    set("fallback", fallback, name(fallback));
    set("shadow", shadow,
        {{"deployment", name(shadow)},
         {"version", shadow_version},
         {"percent", shadow_percent == 0 ? 100 : shadow_percent},
         {"tolerance", shadow_tolerance}});
    return routing;
  }
};

// A version that waits to be promoted, or has the share that somebody chose for it.
bool WaitsForSomebody(const json& deployment) {
  if (TextOf(deployment, "state") != "ROLLING_OUT") return false;
  const json policy = deployment.value("rollout", json::object());
  return TextOf(policy, "strategy") != "CANARY";
}

// Returns the deployment once it serves what is wanted, as far as that goes by itself; an error
// once that has failed or `limit` has passed.
absl::StatusOr<json> WaitUntilReady(const Session& session, const Api& api, const std::string& id,
                                    absl::Duration limit) {
  const Clock& clock = Clock::Real();
  const absl::Duration end = clock.Monotonic() + limit;
  for (;;) {
    ASSIGN_OR_RETURN(json found, api.Get(session.Path("deployments/" + id)));
    const std::string state = TextOf(found, "state");
    if (state == "READY" || WaitsForSomebody(found)) return found;
    if (state == "FAILED" || state == "ROLLED_BACK") {
      return absl::AbortedError(fmt::format("{}: {}", id, TextOf(found, "error")));
    }
    if (clock.Monotonic() >= end) {
      return absl::DeadlineExceededError(
          fmt::format("{} is still {} after {}", id, state, absl::FormatDuration(limit)));
    }
    clock.SleepFor(absl::Milliseconds(200));
  }
}

}  // namespace

void AddDeployCommands(CLI::App& root, Session& session) {
  CLI::App& deploy = *root.add_subcommand("deploy", "Deployments: models behind endpoints");
  deploy.require_subcommand(1);

  struct Options {
    std::string id;
    std::string model;
    std::string version;
    std::string alias;
    std::string pool;
    int replicas = 0;
    std::string runtime;
    std::string precision;
    bool pinned = false;
    uint64_t response_cache = 0;
    std::string response_cache_ttl;
    std::vector<std::string> pad;
    std::vector<int64_t> pad_to;
    std::string sequence_idle;
    int64_t max_sequences = 0;
    bool wait = false;
    std::string timeout = "2m";
    RolloutOptions rollout;
    RoutingOptions routing;
    std::string reason;
  };
  auto options = std::make_shared<Options>();

  const auto add_target = [&options](CLI::App& command, bool required) {
    command.add_option("id", options->id, "The deployment's id: what callers name as model")
        ->required();
    CLI::Option* model = command.add_option("--model", options->model, "The model's id");
    if (required) model->required();
    CLI::Option* version = command.add_option("--version", options->version, "Serve this version");
    command.add_option("--alias", options->alias, "Serve what this alias points at, also later")
        ->excludes(version);
    command.add_option("--pool", options->pool, "The pool of workers; else the default one");
    command.add_option("--replicas", options->replicas, "How many workers load it")
        ->check(CLI::Range(1, 1000));
    options->rollout.AddTo(command);
    options->routing.AddTo(command);
    command.add_flag("--wait", options->wait, "Return when it is ready");
    command.add_option("--timeout", options->timeout, "How long to wait")->capture_default_str();
  };
  const auto add_runtime = [&options](CLI::App& command) {
    command.add_option("--runtime", options->runtime, "What runs it; else the fastest")
        ->check(CLI::IsMember({"auto", "torch", "openvino"}));
    command.add_option("--precision", options->precision, "What it computes in; else float32")
        ->check(CLI::IsMember({"float32", "bfloat16"}));
    command.add_flag("--pinned", options->pinned, "Keep it in memory when others need the room");
    CLI::Option* cache =
        command
            .add_option("--response-cache", options->response_cache,
                        "Keep answers for equal inputs: 64MB a worker")
            ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false).description("SIZE"));
    command
        .add_option("--response-cache-ttl", options->response_cache_ttl,
                    "For so long each; else while there is room")
        ->needs(cache);
    CLI::Option* pad =
        command.add_option("--pad", options->pad, "Tensors (name:axis) of lengths that may differ");
    command.add_option("--pad-to", options->pad_to, "Lengths to pad to, such as 32,64,128")
        ->delimiter(',')
        ->needs(pad);
    command.add_option("--sequence-idle", options->sequence_idle,
                       "Forget a sequence without a call for so long; 60s");
    command.add_option("--max-sequences", options->max_sequences,
                       "At once on each worker; else as it has room for");
  };
  const auto body_of = [](const Session& from, const Options& chosen) -> absl::StatusOr<json> {
    json body = json::object();
    if (!chosen.model.empty()) {
      if (chosen.version.empty() == chosen.alias.empty()) {
        return InvalidField("--version", "give either --version or --alias beside --model");
      }
      body["modelVersion"] = fmt::format(
          "{}/models/{}/{}", from.Tenant(), chosen.model,
          chosen.version.empty() ? "aliases/" + chosen.alias : "versions/" + chosen.version);
    }
    if (!chosen.pool.empty()) body["pool"] = chosen.pool;
    if (chosen.replicas > 0) body["replicas"] = chosen.replicas;
    if (!chosen.runtime.empty()) body["runtime"]["runtime"] = UpperCase(chosen.runtime);
    if (!chosen.precision.empty()) body["runtime"]["precision"] = UpperCase(chosen.precision);
    if (chosen.pinned) body["runtime"]["pinned"] = true;
    if (chosen.response_cache > 0) {
      json& cache = body["runtime"]["responseCache"];
      cache["maxBytes"] = chosen.response_cache;
      if (!chosen.response_cache_ttl.empty()) {
        ASSIGN_OR_RETURN(cache["timeToLive"],
                         ProtoDuration("--response-cache-ttl", chosen.response_cache_ttl));
      }
    }
    if (!chosen.pad.empty()) {
      ASSIGN_OR_RETURN(const json padding, PaddingOf(chosen.pad, chosen.pad_to));
      body["runtime"]["batching"]["padding"] = json::array({padding});
    }
    if (!chosen.sequence_idle.empty()) {
      ASSIGN_OR_RETURN(body["runtime"]["sequences"]["idleTimeout"],
                       ProtoDuration("--sequence-idle", chosen.sequence_idle));
    }
    if (chosen.max_sequences != 0) {
      body["runtime"]["sequences"]["maxSequences"] = chosen.max_sequences;
    }
    ASSIGN_OR_RETURN(const json rollout, chosen.rollout.Body());
    if (!rollout.is_null()) body["rollout"] = rollout;
    return body;
  };
  const auto finish = [&session, options](const Api& api, json made) -> absl::Status {
    if (options->wait) {
      absl::Duration limit;
      if (!absl::ParseDuration(options->timeout, &limit)) {
        return InvalidField("--timeout", "must be a duration such as 2m");
      }
      ASSIGN_OR_RETURN(made, WaitUntilReady(session, api, options->id, limit));
    }
    if (!session.PrintJson(made)) PrintDeployments(session, json::array({made}));
    return absl::OkStatus();
  };

  CLI::App& create = *deploy.add_subcommand("create", "Puts a model behind an endpoint");
  add_target(create, /*required=*/true);
  add_runtime(create);
  create.footer(
      "Example:\n  slipway deploy create fashion --model fashion-mnist-cnn --version 1 --wait");
  session.OnRun(create, [&session, options, body_of, finish]() -> absl::Status {
    ASSIGN_OR_RETURN(json body, body_of(session, *options));
    if (options->routing.given()) {
      ASSIGN_OR_RETURN(body["routing"], options->routing.Change(json::object(), session));
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(json made,
                     api.Post(session.Path("deployments"), body, {{"deploymentId", options->id}}));
    return finish(api, std::move(made));
  });

  CLI::App& update = *deploy.add_subcommand("update", "Rolls a deployment to another version");
  add_target(update, /*required=*/false);
  update.footer(
      "Example:\n  slipway deploy update fashion --model fashion-mnist-cnn --version 2 --wait\n"
      "  slipway deploy update fashion --model fashion-mnist-cnn --version 3 --strategy canary\n"
      "  slipway deploy update fashion --fallback fashion-small --shadow fashion-next");
  session.OnRun(update, [&session, options, body_of, finish]() -> absl::Status {
    ASSIGN_OR_RETURN(json body, body_of(session, *options));
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    if (options->routing.given()) {
      ASSIGN_OR_RETURN(const json found, api.Get(session.Path("deployments/" + options->id)));
      ASSIGN_OR_RETURN(body["routing"],
                       options->routing.Change(found.value("routing", json::object()), session));
    }
    ASSIGN_OR_RETURN(json changed,
                     api.Call("PATCH", session.Path("deployments/" + options->id), body));
    return finish(api, std::move(changed));
  });

  CLI::App& list = *deploy.add_subcommand("list", "Lists the deployments");
  list.footer("Example:\n  slipway deploy list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.List(session.Path("deployments"), "deployments"));
    if (!session.PrintJson(found)) PrintDeployments(session, found);
    return absl::OkStatus();
  });

  CLI::App& get = *deploy.add_subcommand("get", "Shows a deployment");
  get.add_option("id", options->id, "The deployment's id")->required();
  get.footer("Example:\n  slipway deploy get fashion");
  session.OnRun(get, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("deployments/" + options->id)));
    if (session.PrintJson(found)) return absl::OkStatus();
    PrintDeployments(session, json::array({found}));
    PrintFacts(session, found);
    PrintRollout(session, found);
    PrintRouting(session, found);
    return absl::OkStatus();
  });

  // Calls that answer the deployment as it is then.
  const auto change = [&session, options](const char* method, const std::string& verb,
                                          const json& body) -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json changed,
                     api.Call(method, session.Path("deployments/" + options->id) + verb, body));
    if (session.PrintJson(changed)) return absl::OkStatus();
    PrintDeployments(session, json::array({changed}));
    PrintRollout(session, changed);
    return absl::OkStatus();
  };

  CLI::App& weights =
      *deploy.add_subcommand("weights", "Sets the new version's share of the calls");
  weights.add_option("id", options->id, "The deployment's id")->required();
  weights.add_option("--percent", options->rollout.percent, "In percent")
      ->required()
      ->check(CLI::Range(0, 100));
  weights.footer("Example:\n  slipway deploy weights fashion --percent 20");
  session.OnRun(weights, [options, change]() -> absl::Status {
    return change("PATCH", "",
                  {{"rollout", {{"strategy", "WEIGHTED"}, {"percent", options->rollout.percent}}}});
  });

  CLI::App& promote = *deploy.add_subcommand("promote", "Moves all calls to the new version");
  promote.add_option("id", options->id, "The deployment's id")->required();
  promote.footer("Example:\n  slipway deploy promote fashion");
  session.OnRun(promote, [change] { return change("POST", ":promote", json::object()); });

  CLI::App& rollback = *deploy.add_subcommand("rollback", "Back to the version before, at once");
  rollback.add_option("id", options->id, "The deployment's id")->required();
  rollback.add_option("--reason", options->reason, "For those who read it later");
  rollback.footer("Example:\n  slipway deploy rollback fashion --reason 'wrong labels'");
  session.OnRun(rollback, [options, change] {
    return change("POST", ":rollback", {{"reason", options->reason}});
  });

  CLI::App& unload =
      *deploy.add_subcommand("unload", "Takes a model out of its workers until it is loaded");
  unload.add_option("id", options->id, "The deployment's id")->required();
  unload.footer("Example:\n  slipway deploy unload fashion");
  session.OnRun(unload, [change] { return change("POST", ":unload", json::object()); });

  CLI::App& load =
      *deploy.add_subcommand("load", "Has it loaded again, and waits until it is ready");
  load.add_option("id", options->id, "The deployment's id")->required();
  load.footer("Example:\n  slipway deploy load fashion");
  session.OnRun(load, [change] { return change("POST", ":load", json::object()); });

  CLI::App& remove = *deploy.add_subcommand("delete", "Takes an endpoint away");
  remove.add_option("id", options->id, "The deployment's id")->required();
  remove.footer("Example:\n  slipway deploy delete fashion");
  session.OnRun(remove, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    RETURN_IF_ERROR(
        api.Call("DELETE", session.Path("deployments/" + options->id), nullptr).status());
    if (!session.PrintJson(json::object())) session.out() << "deleted " << options->id << '\n';
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
