#ifndef SLIPWAY_SERVICES_CONTROLLER_FIXED_WORKER_POOL_H_
#define SLIPWAY_SERVICES_CONTROLLER_FIXED_WORKER_POOL_H_

#include <string>
#include <utility>
#include <vector>

#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// Workers at known addresses that somebody else (a StatefulSet) keeps running. None is isolated.
class FixedWorkerPool final : public WorkerPool {
 public:
  FixedWorkerPool(std::string name, std::vector<std::string> addresses, bool shares_uploaded)
      : name_(std::move(name)),
        addresses_(std::move(addresses)),
        shares_uploaded_(shares_uploaded) {}

  const std::string& name() const override { return name_; }
  int size() const override { return static_cast<int>(addresses_.size()); }
  int isolated_size() const override { return 0; }
  bool shares_uploaded() const override { return shares_uploaded_; }
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

  void Start(int, const std::string&) override {}
  void Stop(int, const std::string&) override {}
  void Retire(int) override {}

 private:
  const std::string name_;
  const std::vector<std::string> addresses_;
  const bool shares_uploaded_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_FIXED_WORKER_POOL_H_
