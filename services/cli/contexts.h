#ifndef SLIPWAY_SERVICES_CLI_CONTEXTS_H_
#define SLIPWAY_SERVICES_CLI_CONTEXTS_H_

#include <map>
#include <string>
#include <string_view>

#include "common/status/status.h"

namespace slipway::cli {

/// A platform and the key to call it with.
struct Context {
  std::string url;
  std::string api_key;
  /// PEM of the authority that signed the platform's certificate; empty: the system's.
  std::string ca_file;
};

/// The contexts that a person keeps: $SLIPWAY_CONFIG, or config.yaml in $XDG_CONFIG_HOME/slipway
/// or ~/.config/slipway. Mode 0600, since it holds keys.
struct ContextFile {
  std::string current;
  std::map<std::string, Context> contexts;

  static std::string DefaultPath();
  /// An absent file is an empty one. Errors name the file and the field.
  static absl::StatusOr<ContextFile> Load(const std::string& path);
  /// Replaces the file atomically.
  absl::Status Save(const std::string& path) const;
};

/// The context to use: `name` of the file, or its current one; SLIPWAY_URL and SLIPWAY_API_KEY
/// override its fields, and `url` overrides both. Errors: kNotFound (no context `name`),
/// kFailedPrecondition (no URL known).
absl::StatusOr<Context> ResolveContext(std::string_view name, std::string_view url);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_CONTEXTS_H_
