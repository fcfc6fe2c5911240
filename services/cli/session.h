#ifndef SLIPWAY_SERVICES_CLI_SESSION_H_
#define SLIPWAY_SERVICES_CLI_SESSION_H_

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

#include "CLI/App.hpp"
#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"
#include "services/cli/api.h"

namespace slipway::cli {

/// How answers are printed.
enum class Format { kText, kJson };

/// What every command works with: the global options, where to print, and how to reach the
/// platform. One thread.
class Session {
 public:
  Session(std::ostream& out, std::ostream& err) : out_(out), err_(err) {}

  /// Adds the options that stand before any verb.
  void AddGlobalOptions(CLI::App& root);

  /// Makes `action` what runs when `command` was named. Exactly one action runs.
  void OnRun(CLI::App& command, std::function<absl::Status()> action);

  /// Runs the chosen action.
  absl::Status Run();

  /// The platform, by --url, --context, SLIPWAY_URL and SLIPWAY_API_KEY or the config file's
  /// current context, in this order. Errors: kFailedPrecondition where none of them says.
  absl::StatusOr<Api> Connect() const;

  /// "tenants/x" by --tenant, else "tenants/-", the key's own.
  std::string Tenant() const;
  /// tenant=tenants/x where --tenant was given; else nothing: the key's own, all for the operator.
  Query TenantQuery() const;
  /// Tenant() and a collection: "/api/v1/tenants/-/models".
  std::string Path(std::string_view below) const;

  Format format() const { return format_; }
  std::ostream& out() const { return out_; }
  std::ostream& err() const { return err_; }

  /// Prints `json` where -o json was asked for, and says whether it did.
  bool PrintJson(const nlohmann::json& json) const;
  /// Prints what the platform sends, as it comes.
  absl::Status PrintDownload(const Api& api, const std::string& target) const;

 private:
  std::ostream& out_;
  std::ostream& err_;
  Format format_ = Format::kText;
  std::string url_;
  std::string context_;
  std::string tenant_;
  std::function<absl::Status()> action_;
};

/// The process's exit code for a command that ended with `status`: 0 done; 2 wrong usage or
/// input; 3 the platform cannot be reached; 4 the key is missing, refused or may not; 5 no such
/// object; 1 anything else.
int ExitCode(const absl::Status& status);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_SESSION_H_
