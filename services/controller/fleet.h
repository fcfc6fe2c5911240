#ifndef SLIPWAY_SERVICES_CONTROLLER_FLEET_H_
#define SLIPWAY_SERVICES_CONTROLLER_FLEET_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/controller/reconcile.h"
#include "services/controller/worker_client.h"
#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// The workers of all pools: what they are seen to do, and what is asked of them. Keeps what one
/// look cannot show: how often a load failed, when a model was last routed, when a worker last
/// answered. A new process of a worker starts with none of that. One thread at a time.
class Fleet {
 public:
  struct Options {
    /// A worker that does not say within it what it has is silent.
    absl::Duration list_timeout = absl::Seconds(2);
    /// One with a larger WorkerReport::memory_ratio has its memory in fragments; 0: none has.
    double fragmented_above = 0;
  };
  /// All outlive the fleet.
  Fleet(std::vector<WorkerPool*> pools, WorkerClient& client, const Clock& clock, Options options)
      : pools_(std::move(pools)), client_(client), clock_(clock), options_(options) {}

  /// Looks at all workers. `routes` are those that are published now.
  std::map<WorkerId, ObservedWorker> Observe(const std::map<DeploymentName, ObservedRoute>& routes);

  /// Of the newest look; empty while the worker is down.
  std::string AddressOf(const WorkerId& id) const;

  void Start(const WorkerId& id, const std::string& owner);
  void Stop(const WorkerId& id, const std::string& reason);
  void Retire(const WorkerId& id);
  /// A worker that does not take the load counts as a failed load.
  absl::Status Load(const WorkerId& id, const ModelKey& model, const VersionDetails& version,
                    const slipway::worker::v1::RuntimeSettings& runtime);
  absl::Status Unload(const WorkerId& id, const ModelKey& model);

 private:
  struct ModelMemory {
    int failures = 0;
    std::string error;
    absl::Duration failed_at;
    // A load was begun and its end has not been seen.
    bool pending = false;
    // The worker did not take the load, and so does not report it.
    bool refused = false;
    std::optional<absl::Duration> routed_at;
  };
  struct WorkerMemory {
    WorkerProcess process;
    bool answered = false;
    absl::Duration heard_at;
    std::vector<ReportedModel> reported;
    std::optional<absl::Duration> fragmented_at;
    std::map<ModelKey, ModelMemory> models;
  };

  void LookAtProcesses(absl::Duration now);
  void AskWorkers();
  static void NoteFailures(WorkerMemory& worker, absl::Duration now);
  static ObservedWorker Describe(const WorkerMemory& worker, absl::Duration now);
  WorkerPool* FindPool(std::string_view name) const;

  const std::vector<WorkerPool*> pools_;
  WorkerClient& client_;
  const Clock& clock_;
  const Options options_;
  std::map<WorkerId, WorkerMemory> workers_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_FLEET_H_
