#ifndef SLIPWAY_SERVICES_CLI_COMMANDS_H_
#define SLIPWAY_SERVICES_CLI_COMMANDS_H_

#include "CLI/App.hpp"
#include "services/cli/session.h"

namespace slipway::cli {

// Each adds one verb (or a few that belong together) to the command tree. `session` outlives the
// tree.
void AddPlatformCommands(CLI::App& root, Session& session);  // up, status, logs, down
void AddTenantCommands(CLI::App& root, Session& session);
void AddProjectCommands(CLI::App& root, Session& session);
void AddKeyCommands(CLI::App& root, Session& session);
void AddDatasetCommands(CLI::App& root, Session& session);
void AddTrainingCommands(CLI::App& root, Session& session);  // train, plan, job
void AddModelCommands(CLI::App& root, Session& session);
void AddDeployCommands(CLI::App& root, Session& session);
void AddPredictCommand(CLI::App& root, Session& session);
void AddUsageCommand(CLI::App& root, Session& session);
void AddLimitCommands(CLI::App& root, Session& session);
void AddPriceCommands(CLI::App& root, Session& session);
void AddAuditCommands(CLI::App& root, Session& session);  // audit, explain
void AddContextCommands(CLI::App& root, Session& session);
void AddCompletionCommand(CLI::App& root, Session& session);
void AddVersionCommand(CLI::App& root, Session& session);

/// The whole tree.
void AddAllCommands(CLI::App& root, Session& session);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_COMMANDS_H_
