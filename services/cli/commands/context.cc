#include <ostream>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/contexts.h"
#include "services/cli/output.h"

namespace slipway::cli {

void AddContextCommands(CLI::App& root, Session& session) {
  CLI::App& context =
      *root.add_subcommand("context", "Platforms and keys that this machine remembers");
  context.require_subcommand(1);

  struct Options {
    std::string name;
    Context context;
  };
  auto options = std::make_shared<Options>();

  CLI::App& add = *context.add_subcommand("add", "Remembers a platform, and uses it from now on");
  add.add_option("name", options->name, "What to call it")->required();
  add.add_option("--address", options->context.url, "http://127.0.0.1:8080")->required();
  add.add_option("--api-key", options->context.api_key, "The key to call it with")
      ->envname("SLIPWAY_API_KEY");
  add.add_option("--ca-file", options->context.ca_file, "PEM of its certificate's authority");
  add.footer(
      "Example:\n  slipway context add home --address http://127.0.0.1:8080 --api-key slw_...");
  session.OnRun(add, [&session, options]() -> absl::Status {
    const std::string path = ContextFile::DefaultPath();
    ASSIGN_OR_RETURN(ContextFile file, ContextFile::Load(path));
    file.contexts[options->name] = options->context;
    file.current = options->name;
    RETURN_IF_ERROR(file.Save(path));
    session.out() << fmt::format("{} is the current context, kept in {}\n", options->name, path);
    return absl::OkStatus();
  });

  CLI::App& use = *context.add_subcommand("use", "Makes a context the current one");
  use.add_option("name", options->name, "The context")->required();
  use.footer("Example:\n  slipway context use home");
  session.OnRun(use, [&session, options]() -> absl::Status {
    const std::string path = ContextFile::DefaultPath();
    ASSIGN_OR_RETURN(ContextFile file, ContextFile::Load(path));
    if (!file.contexts.contains(options->name)) {
      return absl::NotFoundError(fmt::format("{} has no context \"{}\"", path, options->name));
    }
    file.current = options->name;
    RETURN_IF_ERROR(file.Save(path));
    session.out() << fmt::format("{} is the current context\n", options->name);
    return absl::OkStatus();
  });

  CLI::App& list = *context.add_subcommand("list", "Lists the contexts; keys are not shown");
  list.footer("Example:\n  slipway context list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const ContextFile file, ContextFile::Load(ContextFile::DefaultPath()));
    nlohmann::json all = nlohmann::json::array();
    Table table({"CONTEXT", "ADDRESS", "CURRENT"});
    for (const auto& [name, each] : file.contexts) {
      const bool current = name == file.current;
      all.push_back({{"name", name}, {"address", each.url}, {"current", current}});
      table.Add({name, each.url, current ? "*" : ""});
    }
    if (!session.PrintJson(all)) table.Print(session.out());
    return absl::OkStatus();
  });

  CLI::App& remove = *context.add_subcommand("remove", "Forgets a context");
  remove.add_option("name", options->name, "The context")->required();
  remove.footer("Example:\n  slipway context remove home");
  session.OnRun(remove, [&session, options]() -> absl::Status {
    const std::string path = ContextFile::DefaultPath();
    ASSIGN_OR_RETURN(ContextFile file, ContextFile::Load(path));
    if (file.contexts.erase(options->name) == 0) {
      return absl::NotFoundError(fmt::format("{} has no context \"{}\"", path, options->name));
    }
    if (file.current == options->name) file.current.clear();
    RETURN_IF_ERROR(file.Save(path));
    session.out() << fmt::format("forgot {}\n", options->name);
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
