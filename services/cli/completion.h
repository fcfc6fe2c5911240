#ifndef SLIPWAY_SERVICES_CLI_COMPLETION_H_
#define SLIPWAY_SERVICES_CLI_COMPLETION_H_

#include <string>

#include "CLI/App.hpp"

namespace slipway::cli {

/// A completion script, generated from the tree of commands: verbs, then options, then files.
std::string BashCompletion(const CLI::App& root);
std::string ZshCompletion(const CLI::App& root);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_COMPLETION_H_
