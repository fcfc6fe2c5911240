#ifndef SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_WORKER_POOL_H_
#define SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_WORKER_POOL_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/sync/repeating_thread.h"
#include "common/time/clock.h"
#include "services/controller/kubernetes/isolated_pod.h"
#include "services/controller/kubernetes/kubernetes_api.h"
#include "services/controller/worker_life.h"
#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// Workers in a cluster: those for everybody are a StatefulSet's and known by their addresses; each
/// isolated one is a pod that this makes, by a PodTemplate of the chart, and deletes
/// (docs/adr/0022). Pods outlive the controller, and the next one finds them. What is asked of the
/// API server a thread of the pool asks, so that nobody waits for it.
class KubernetesWorkerPool final : public WorkerPool {
 public:
  struct Options {
    std::string name;
    /// Of the workers for everybody.
    std::vector<std::string> addresses;
    bool share_uploaded = false;
    int isolated_workers = 0;
    std::string pod_template;
    /// What an isolated worker is told for its owner, behind the template's arguments.
    std::function<std::vector<std::string>(const std::string& owner)> arguments;
    absl::Duration look_every = absl::Seconds(1);
    /// A worker that lived so long was well: the next start counts as its first.
    absl::Duration healthy_after = absl::Seconds(30);
  };

  /// Finds the template and the pods that there are. `api` and `clock` outlive the pool; `changed`
  /// is called, on its thread, when it sees another state. Errors: those of the API.
  static absl::StatusOr<std::unique_ptr<KubernetesWorkerPool>> Open(Options options,
                                                                    KubernetesApi& api,
                                                                    const Clock& clock,
                                                                    std::function<void()> changed);

  const std::string& name() const override { return options_.name; }
  int size() const override { return static_cast<int>(options_.addresses.size()); }
  int isolated_size() const override { return options_.isolated_workers; }
  bool shares_uploaded() const override { return options_.share_uploaded; }
  bool launches() const override { return false; }
  std::vector<WorkerProcess> Workers() const override;
  void Start(int index, const std::string& owner) override;
  void Stop(int index, const std::string& reason) override;
  void Retire(int index) override;

 private:
  // One isolated worker.
  struct Slot : WorkerLife {
    bool ending = false;
    std::string waits_for;
    std::string uid;  // of its pod; empty: none is known
    // What is still to be asked of the API server: a pod, and the end of the one that is known.
    bool to_start = false;
    bool to_delete = false;
    std::optional<absl::Duration> grace;
  };

  KubernetesWorkerPool(Options options, KubernetesApi& api, const Clock& clock,
                       std::function<void()> changed);

  /// What is to be asked, and what there is.
  absl::Status Turn();
  void DeletePods();
  absl::Status MakePods();
  absl::Status LookAtPods();
  /// True where that says something new.
  bool See(int number, const SeenPod* pod) REQUIRES(mutex_);
  void Ended(int number, const std::string& how) REQUIRES(mutex_);
  Slot* FindSlot(int index) REQUIRES(mutex_);

  const Options options_;
  KubernetesApi& api_;
  const Clock& clock_;
  const std::function<void()> changed_;
  mutable Mutex mutex_;
  std::vector<Slot> slots_ GUARDED_BY(mutex_);
  PodTemplate template_ GUARDED_BY(mutex_);
  RepeatingThread thread_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_KUBERNETES_WORKER_POOL_H_
