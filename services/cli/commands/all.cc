#include "CLI/CLI.hpp"
#include "services/cli/commands.h"

namespace slipway::cli {

void AddAllCommands(CLI::App& root, Session& session) {
  root.require_subcommand(1);
  root.fallthrough();
  session.AddGlobalOptions(root);
  AddPlatformCommands(root, session);
  AddTenantCommands(root, session);
  AddProjectCommands(root, session);
  AddKeyCommands(root, session);
  AddDatasetCommands(root, session);
  AddTrainingCommands(root, session);
  AddModelCommands(root, session);
  AddDeployCommands(root, session);
  AddPredictCommand(root, session);
  AddUsageCommand(root, session);
  AddLimitCommands(root, session);
  AddPriceCommands(root, session);
  AddAuditCommands(root, session);
  AddContextCommands(root, session);
  AddCompletionCommand(root, session);
  AddVersionCommand(root, session);
  root.footer(
      "Example:\n"
      "  slipway up\n"
      "  slipway tenant create acme\n"
      "  slipway train examples/fashion-mnist-cnn.yaml --watch");
}

}  // namespace slipway::cli
