#include "services/controller/control_loop.h"

namespace slipway::controller {

void Bell::Ring() {
  MutexLock lock(mutex_);
  rung_ = true;
  rung_condition_.Signal();
}

void Bell::Wait(absl::Duration timeout) {
  MutexLock lock(mutex_);
  while (!rung_) {
    if (!rung_condition_.WaitFor(mutex_, absl::ToChronoNanoseconds(timeout))) break;
  }
  rung_ = false;
}

void ControlLoop::Start(Controller& controller) {
  resolver_ = std::jthread([this, &controller](std::stop_token stop) {
    const std::stop_callback ring(stop, [this] { resolve_bell_.Ring(); });
    while (!stop.stop_requested()) {
      if (controller.Resolve()) step_bell_.Ring();
      resolve_bell_.Wait(periods_.resolve);
    }
  });
  stepper_ = std::jthread([this, &controller](std::stop_token stop) {
    const std::stop_callback ring(stop, [this] { step_bell_.Ring(); });
    while (!stop.stop_requested()) {
      const bool settled = controller.Step();
      step_bell_.Wait(settled ? periods_.idle : periods_.busy);
    }
  });
}

void ControlLoop::Wake() {
  resolve_bell_.Ring();
  step_bell_.Ring();
}

void ControlLoop::Stop() {
  for (std::jthread* thread : {&resolver_, &stepper_}) {
    thread->request_stop();
    if (thread->joinable()) thread->join();
  }
}

}  // namespace slipway::controller
