#include "services/cli/session.h"

#include <cstdlib>
#include <map>
#include <ostream>
#include <utility>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "services/cli/contexts.h"

namespace slipway::cli {
namespace {

constexpr size_t kHelpColumn = 24;

// CLI11 says that something is missing even where something that it does not know was given.
std::string ExplainFailure(const CLI::App* root, const CLI::Error& error) {
  const std::vector<std::string> rest = root->remaining(/*recurse=*/true);
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError) && !rest.empty()) {
    return "slipway: '" + rest.front() + "' is not known; see slipway --help\n";
  }
  return CLI::FailureMessage::simple(root, error);
}

}  // namespace

void Session::AddGlobalOptions(CLI::App& root) {
  root.failure_message(ExplainFailure);
  root.get_formatter()->column_width(kHelpColumn);
  root.add_option("-o,--output", format_, "How to print: text or json")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Format>{{"text", Format::kText}, {"json", Format::kJson}}))
      ->default_str("text")
      ->option_text("text|json");
  root.add_option("--url", url_, "Address of the platform, http://127.0.0.1:8080");
  root.add_option("--context", context_, "The context of the config file to use");
  root.add_option("--tenant", tenant_, "Act in this tenant (operators; others have their own)");
}

void Session::OnRun(CLI::App& command, std::function<absl::Status()> action) {
  command.final_callback([this, action = std::move(action)] { action_ = action; });
}

absl::Status Session::Run() {
  if (!action_) return absl::InvalidArgumentError("no command was given; see slipway --help");
  return action_();
}

absl::StatusOr<Api> Session::Connect() const {
  ASSIGN_OR_RETURN(const Context context, ResolveContext(context_, url_));
  return Api::Connect(context);
}

std::string Session::Tenant() const { return "tenants/" + (tenant_.empty() ? "-" : tenant_); }

std::string Session::Path(std::string_view below) const {
  return "/api/v1/" + Tenant() + "/" + std::string(below);
}

bool Session::PrintJson(const nlohmann::json& json) const {
  if (format_ != Format::kJson) return false;
  out_ << json.dump(2) << '\n';
  return true;
}

Query Session::TenantQuery() const {
  return tenant_.empty() ? Query() : Query{{"tenant", Tenant()}};
}

absl::Status Session::PrintDownload(const Api& api, const std::string& target) const {
  return api.Download(target, [this](std::string_view piece) -> absl::Status {
    out_ << piece << std::flush;
    return out_ ? absl::OkStatus() : absl::UnavailableError("standard output is closed");
  });
}

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return 2;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 3;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return 4;
    case absl::StatusCode::kNotFound:
      return 5;
    default:
      return 1;
  }
}

}  // namespace slipway::cli
