#ifndef SLIPWAY_SERVICES_CONTROLLER_WORKER_EXIT_H_
#define SLIPWAY_SERVICES_CONTROLLER_WORKER_EXIT_H_

#include <string>

#include "common/process/process_launcher.h"
#include "common/runtime_settings/torchscript.h"

namespace slipway::controller {

/// How a worker's process ended, for people.
inline std::string HowItEnded(const ProcessExit& exit) {
  const bool hung = exit.signal == 0 && exit.code == kHungModelExit;
  return hung ? "a model ran for longer than it may" : exit.ToString();
}

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_WORKER_EXIT_H_
