#include "common/config/version.h"

#include <ostream>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "services/cli/commands.h"

namespace slipway::cli {

void AddVersionCommand(CLI::App& root, Session& session) {
  CLI::App& version = *root.add_subcommand("version", "Prints this program's version");
  version.footer("Example:\n  slipway version");
  session.OnRun(version, [&session]() -> absl::Status {
    if (session.PrintJson({{"version", std::string(Version())}})) return absl::OkStatus();
    session.out() << "slipway " << Version() << '\n';
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
