#ifndef SLIPWAY_TESTS_UNIT_SERVICES_GATEWAY_ROUTING_IDLE_WORKER_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_GATEWAY_ROUTING_IDLE_WORKER_H_

#include <memory>
#include <string>
#include <vector>

#include "services/gateway/routing/worker.h"

namespace slipway::gateway {

/// A worker that nobody calls.
class IdleWorker final : public Worker {
 public:
  using Worker::Worker;
  std::shared_ptr<WorkerCall> Call(std::string_view, const Options&, absl::Cord, Done) override {
    return nullptr;
  }
  bool reachable() const override { return reachable_; }
  void set_reachable(bool reachable) { reachable_ = reachable; }

 private:
  bool reachable_ = true;
};

/// "w0", "w1", ...
inline std::vector<std::shared_ptr<Worker>> IdleWorkers(int count) {
  std::vector<std::shared_ptr<Worker>> workers;
  for (int i = 0; i < count; ++i) {
    workers.push_back(std::make_shared<IdleWorker>("w" + std::to_string(i)));
  }
  return workers;
}

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_GATEWAY_ROUTING_IDLE_WORKER_H_
