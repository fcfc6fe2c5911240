#ifndef SLIPWAY_SERVICES_CONTROLLER_WORKER_CLIENT_H_
#define SLIPWAY_SERVICES_CONTROLLER_WORKER_CLIENT_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "services/controller/deployment.h"
#include "services/controller/reconcile.h"
#include "services/controller/version_details.h"

namespace slipway::controller {

/// What a worker says of one model.
struct ReportedModel {
  ModelKey key;
  ObservedModel::State state = ObservedModel::State::kLoading;
  std::string error = "";
  slipway::worker::v1::ModelFacts facts = {};
};

/// What a worker says of itself.
struct WorkerReport {
  std::vector<ReportedModel> models;
  /// How much more of its memory is resident than it can account for: 2 is twice as much. 0 where
  /// it does not know.
  double memory_ratio = 0;
};

/// What the controller asks of workers, by address. Any thread.
class WorkerClient {
 public:
  virtual ~WorkerClient() = default;

  /// What each worker has and takes, all asked at once; answers in the order of `addresses`, an
  /// error where a worker did not answer in time.
  virtual std::vector<absl::StatusOr<WorkerReport>> List(const std::vector<std::string>& addresses,
                                                         absl::Duration timeout) = 0;

  /// Tells the worker to begin to load; returns once it has begun.
  virtual absl::Status Load(const std::string& address, const ModelKey& model,
                            const VersionDetails& version,
                            const slipway::worker::v1::RuntimeSettings& runtime) = 0;

  /// Tells the worker to begin to unload; OK where it has no such model.
  virtual absl::Status Unload(const std::string& address, const ModelKey& model) = 0;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_WORKER_CLIENT_H_
