#include <iostream>

#include "CLI/CLI.hpp"
#include "services/cli/commands.h"
#include "services/cli/session.h"

int main(int argc, char** argv) {
  CLI::App root{"Slipway: train, register, deploy and call models."};
  root.name("slipway");
  slipway::cli::Session session(std::cout, std::cerr);
  slipway::cli::AddAllCommands(root, session);
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = root.exit(error);
    return code == 0 ? 0 : 2;
  }
  const absl::Status status = session.Run();
  if (!status.ok()) std::cerr << "slipway: " << std::string(status.message()) << '\n';
  return slipway::cli::ExitCode(status);
}
