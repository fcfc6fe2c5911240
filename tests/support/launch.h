#ifndef SLIPWAY_TESTS_SUPPORT_LAUNCH_H_
#define SLIPWAY_TESTS_SUPPORT_LAUNCH_H_

#include <memory>
#include <string>
#include <vector>

#include "common/process/process_launcher.h"
#include "common/status/status.h"
#include "tests/support/places.h"

namespace slipway {

/// Starts an installed program of ours with settings of the form "key=value". `wrapper` is a
/// command that runs the one that follows it, such as taskset with its arguments.
inline absl::StatusOr<std::unique_ptr<Process>> LaunchProgram(
    ProcessLauncher& launcher, const std::string& name, const std::vector<std::string>& settings,
    const std::vector<std::string>& wrapper = {}) {
  std::vector<std::string> command = wrapper;
  command.push_back(Program(name));
  for (const std::string& setting : settings) {
    command.insert(command.end(), {"--set", setting});
  }
  ProcessSpec spec;
  spec.program = command[0];
  spec.args.assign(command.begin() + 1, command.end());
  return launcher.Launch(spec);
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_LAUNCH_H_
