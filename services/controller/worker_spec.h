#ifndef SLIPWAY_SERVICES_CONTROLLER_WORKER_SPEC_H_
#define SLIPWAY_SERVICES_CONTROLLER_WORKER_SPEC_H_

#include <string>
#include <vector>

#include "common/process/process_launcher.h"
#include "services/controller/config.h"

namespace slipway::controller {

/// Where a worker that this controller starts listens: "unix:<run_dir>/worker-default-0.sock".
std::string WorkerAddress(const ControllerConfig& config, const PoolConfig& pool, int index);

/// What a worker is told that loads what is `owner`'s (WorkerProcess::owner) alone.
std::vector<std::string> OwnerArguments(const ControllerConfig& config, const std::string& owner);

/// How it is started: `program` with its settings; where `owner` is not empty, for what that
/// is (WorkerProcess::owner) alone, with a folder of its own for the files. Its log goes beside the
/// controller's own.
ProcessSpec WorkerSpec(const ControllerConfig& config, const PoolConfig& pool, int index,
                       const std::string& owner, const std::string& program);

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_WORKER_SPEC_H_
