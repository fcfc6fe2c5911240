#ifndef SLIPWAY_SERVICES_CONTROLLER_LOCAL_WORKER_POOL_H_
#define SLIPWAY_SERVICES_CONTROLLER_LOCAL_WORKER_POOL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/process/process_launcher.h"
#include "common/time/clock.h"
#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// Workers that are processes of this machine, one `slipway-worker` each. They end with the
/// controller, however it ends.
class LocalWorkerPool final : public WorkerPool {
 public:
  struct Options {
    std::string name;
    int workers = 1;
    int isolated_workers = 0;
    bool spare = false;
    bool share_uploaded = false;
    /// What to start as worker `index`; an isolated one for `owner`.
    std::function<ProcessSpec(int index, const std::string& owner)> spec;
    /// Where it will listen.
    std::function<std::string(int index)> address;
    /// A worker that lived so long was well: the next start counts as its first.
    absl::Duration healthy_after = absl::Seconds(30);
  };

  /// `launcher` and `clock` outlive the pool. `changed` is called, on a thread of the launcher,
  /// when a worker has ended.
  LocalWorkerPool(Options options, ProcessLauncher& launcher, const Clock& clock,
                  std::function<void()> changed);
  /// Shutdown(0).
  ~LocalWorkerPool() override;

  const std::string& name() const override { return options_.name; }
  int size() const override { return options_.workers; }
  int isolated_size() const override { return options_.isolated_workers; }
  bool has_spare() const override { return options_.spare; }
  bool shares_uploaded() const override { return options_.share_uploaded; }
  bool launches() const override { return true; }
  std::vector<WorkerProcess> Workers() const override;
  void Start(int index, const std::string& owner) override;
  void Stop(int index, const std::string& reason) override;
  void Retire(int index) override;

  /// Ends all: SIGTERM, and SIGKILL to whatever still runs after `grace`. No worker starts after.
  void Shutdown(absl::Duration grace);

 private:
  // Shared with the launcher's callbacks, which may come after the pool is gone.
  struct State;

  const Options options_;
  ProcessLauncher& launcher_;
  const std::shared_ptr<State> state_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_LOCAL_WORKER_POOL_H_
