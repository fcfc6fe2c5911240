#include "services/cli/up/platform.h"

#include <ostream>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/commands.h"
#include "services/cli/output.h"
#include "services/cli/up/data_directory.h"
#include "services/cli/up/logs.h"

namespace slipway::cli {

using nlohmann::json;

void AddPlatformCommands(CLI::App& root, Session& session) {
  struct Options {
    UpOptions up;
    LogOptions logs;
  };
  auto options = std::make_shared<Options>();
  const auto add_data_dir = [&options](CLI::App& command) {
    command.add_option(
        "--data-dir", options->up.data_dir,
        fmt::format("Where the platform keeps everything\n[{}]", DataDirectory::DefaultPath()));
  };

  CLI::App& up = *root.add_subcommand("up", "Runs the whole platform on this machine");
  add_data_dir(up);
  up.add_option("--port", options->up.port, "Port of the API on 127.0.0.1; 0: any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  up.add_option("--metrics-port", options->up.metrics_port,
                "Port of the metrics on 127.0.0.1; 0: any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  up.add_option("--ready-file", options->up.ready_file,
                "Appears when everything answers: JSON with the\naddresses and a new admin key");
  up.footer("Example:\n  slipway up --data-dir ./platform --port 8080");
  session.OnRun(up, [&session, options] { return RunPlatform(options->up, session.out()); });

  CLI::App& status = *root.add_subcommand("status", "Shows what `slipway up` runs");
  add_data_dir(status);
  status.footer("Example:\n  slipway status");
  session.OnRun(status, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const PlatformState state, GetPlatformState(options->up.data_dir));
    json services = json::array();
    Table table({"SERVICE", "READY", "PID", "RESTARTS"});
    bool ready = true;
    for (const ServiceState& each : state.services) {
      services.push_back({{"service", each.name},
                          {"ready", each.ready},
                          {"pid", each.pid},
                          {"restarts", each.restarts}});
      table.Add({each.name, each.ready ? "yes" : "no", std::to_string(each.pid),
                 std::to_string(each.restarts)});
      ready = ready && each.ready;
    }
    if (!session.PrintJson({{"dataDir", state.data_dir},
                            {"pid", state.pid},
                            {"address", state.address},
                            {"metrics", state.metrics},
                            {"services", services}})) {
      session.out() << fmt::format(
          "API      http://{}\nMetrics  http://{}/metrics\nData     {}\nProcess  {}\n\n",
          state.address, state.metrics, state.data_dir, state.pid);
      table.Print(session.out());
    }
    return ready ? absl::OkStatus() : absl::UnavailableError("not every service is ready");
  });

  CLI::App& logs = *root.add_subcommand("logs", "Prints the services' logs, merged by time");
  logs.add_option("service", options->logs.service, "Only this service's");
  add_data_dir(logs);
  logs.add_flag("-f,--follow", options->logs.follow, "Go on with what comes");
  logs.add_option("-n,--lines", options->logs.lines, "How many to start with")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  logs.footer("Example:\n  slipway logs -f training");
  session.OnRun(logs, [&session, options]() -> absl::Status {
    options->logs.data_dir = options->up.data_dir;
    options->logs.json = session.format() == Format::kJson;
    return PrintLogs(options->logs, session.out());
  });

  CLI::App& down = *root.add_subcommand("down", "Stops what `slipway up` runs");
  add_data_dir(down);
  down.footer("Example:\n  slipway down");
  session.OnRun(down, [&session, options]() -> absl::Status {
    RETURN_IF_ERROR(StopPlatform(options->up.data_dir, absl::Minutes(1)));
    if (!session.PrintJson({{"stopped", true}})) session.out() << "stopped\n";
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
