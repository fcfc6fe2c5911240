#include "common/config/service_main.h"

#include <sys/stat.h>

#include <cstdio>
#include <exception>
#include <string>

#include "common/config/version.h"
#include "fmt/format.h"

namespace slipway::internal {
namespace {

int Refuse(std::string_view service, const absl::Status& status) {
  fmt::print(stderr, "slipway-{} does not start:\n", service);
  std::string text(status.message());
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    fmt::print(stderr, "  {}\n", text.substr(0, end));
    text.erase(0, end + 1);
  }
  return 2;
}

absl::Status RunGuarded(const std::function<absl::Status()>& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    return absl::InternalError(fmt::format("an exception got away: {}", error.what()));
  }
}

}  // namespace

int ServiceMain(std::string_view service, int argc, const char* const* argv, ConfigFields& fields,
                const LogConfig* log, const std::function<absl::Status()>& check,
                const std::function<absl::Status()>& run) {
  using Action = ConfigFields::CommandLine::Action;
  const auto line = ConfigFields::ParseCommandLine(argc, argv);
  if (!line.ok()) return Refuse(service, line.status());
  if (line->action == Action::kHelp) {
    fmt::print("{}", fields.Help(service));
    return 0;
  }
  if (line->action == Action::kVersion) {
    fmt::print("slipway-{} {}\n", service, Version());
    return 0;
  }
  absl::Status status = fields.Load(service, *line, ConfigFields::ProcessEnvironment());
  if (!status.ok()) return Refuse(service, status);
  if (line->action == Action::kPrintYaml) {
    fmt::print("{}", fields.ToYaml());
    return 0;
  }
  if (line->action == Action::kPrintJson) {
    fmt::print("{}", fields.ToJson(service));
    return 0;
  }

  ::umask(077);
  status = InitLogging(service, log != nullptr ? *log : LogConfig());
  if (status.ok()) status = fields.LoadSecrets();
  if (status.ok()) status = check();
  if (!status.ok()) return Refuse(service, status);

  status = RunGuarded(run);
  if (status.ok()) return 0;
  Log(Severity::kError, "service_failed", {{"error", status}, {"version", Version()}});
  if (log != nullptr && !log->file.empty()) {
    fmt::print(stderr, "slipway-{} failed: {}\n", service, std::string(status.message()));
  }
  return 1;
}

}  // namespace slipway::internal
