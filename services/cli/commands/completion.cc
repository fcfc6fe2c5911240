#include "services/cli/completion.h"

#include <ostream>

#include "CLI/CLI.hpp"
#include "services/cli/commands.h"

namespace slipway::cli {

void AddCompletionCommand(CLI::App& root, Session& session) {
  CLI::App& completion = *root.add_subcommand("completion", "Prints a shell's completion script");
  auto shell = std::make_shared<std::string>();
  completion.add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion.footer("Example:\n  source <(slipway completion bash)");
  session.OnRun(completion, [&root, &session, shell]() -> absl::Status {
    session.out() << (*shell == "bash" ? BashCompletion(root) : ZshCompletion(root));
    return absl::OkStatus();
  });
}

}  // namespace slipway::cli
