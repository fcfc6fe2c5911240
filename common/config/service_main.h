#ifndef SLIPWAY_COMMON_CONFIG_SERVICE_MAIN_H_
#define SLIPWAY_COMMON_CONFIG_SERVICE_MAIN_H_

#include <functional>
#include <string_view>

#include "common/config/config.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace slipway {

namespace internal {
/// `log` may be null. `check` and `run` see the struct that `fields` describes.
int ServiceMain(std::string_view service, int argc, const char* const* argv, ConfigFields& fields,
                const LogConfig* log, const std::function<absl::Status()>& check,
                const std::function<absl::Status()>& run);
}  // namespace internal

/// A service's main(): reads the config (or answers --help, --version, --print-config and
/// --print-config=json), sets the log up by the config's `log` field, and runs. New files are
/// this user's own (umask 077). Starts no thread before `run`, so that `run` may begin with a
/// ShutdownSignal.
///
/// Returns the exit code: 0; 1 when `run` failed (the last log line says why); 2 for a wrong
/// command line or config (said on standard error).
template <class T>
int ServiceMain(std::string_view service, int argc, const char* const* argv,
                const std::function<absl::Status(const T&)>& run) {
  T config;
  ConfigFields fields;
  config.Describe(fields);
  const LogConfig* log = nullptr;
  if constexpr (requires { config.log.level; }) log = &config.log;
  return internal::ServiceMain(
      service, argc, argv, fields, log,
      [&]() -> absl::Status {
        if constexpr (requires { config.Check(); }) return config.Check();
        return absl::OkStatus();
      },
      [&] { return run(config); });
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CONFIG_SERVICE_MAIN_H_
