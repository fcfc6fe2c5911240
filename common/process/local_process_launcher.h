#ifndef SLIPWAY_COMMON_PROCESS_LOCAL_PROCESS_LAUNCHER_H_
#define SLIPWAY_COMMON_PROCESS_LOCAL_PROCESS_LAUNCHER_H_

#include <memory>
#include <string>

#include "common/process/process_launcher.h"

namespace slipway {

/// Children of this process, each leader of its own process group, without any of our file
/// descriptors, with default signal handling. They get SIGKILL when this process ends in whatever
/// way: the kernel ties that (PR_SET_PDEATHSIG) to the THREAD that forked, so all are forked from
/// one thread that lives as long as the launcher. Hence: the launcher outlives its children;
/// destroying it kills those that are left and waits for them.
class LocalProcessLauncher final : public ProcessLauncher {
 public:
  LocalProcessLauncher();
  ~LocalProcessLauncher() override;

  absl::StatusOr<std::unique_ptr<Process>> Launch(const ProcessSpec& spec,
                                                  OnExit on_exit = nullptr) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The program `name` beside the one that runs (/proc/self/exe): all of ours are installed in one
/// folder. Errors: kNotFound.
absl::StatusOr<std::string> SiblingProgram(const std::string& name);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROCESS_LOCAL_PROCESS_LAUNCHER_H_
