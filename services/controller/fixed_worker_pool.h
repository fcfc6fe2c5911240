#ifndef SLIPWAY_SERVICES_CONTROLLER_FIXED_WORKER_POOL_H_
#define SLIPWAY_SERVICES_CONTROLLER_FIXED_WORKER_POOL_H_

#include <string>
#include <utility>
#include <vector>

#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// Workers at known addresses that somebody else (a StatefulSet) keeps running.
class FixedWorkerPool final : public WorkerPool {
 public:
  FixedWorkerPool(std::string name, std::vector<std::string> addresses)
      : name_(std::move(name)), addresses_(std::move(addresses)) {}

  const std::string& name() const override { return name_; }
  int size() const override { return static_cast<int>(addresses_.size()); }
  bool launches() const override { return false; }

  std::vector<WorkerProcess> Workers() const override {
    std::vector<WorkerProcess> workers;
    for (int index = 0; index < size(); ++index) {
      workers.push_back({.id = {name_, index},
                         .running = true,
                         .address = addresses_[static_cast<size_t>(index)]});
    }
    return workers;
  }

  void Start(int) override {}
  void Stop(int, const std::string&) override {}

 private:
  const std::string name_;
  const std::vector<std::string> addresses_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_FIXED_WORKER_POOL_H_
