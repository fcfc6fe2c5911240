#ifndef SLIPWAY_SERVICES_INFERENCE_LOADED_MODELS_H_
#define SLIPWAY_SERVICES_INFERENCE_LOADED_MODELS_H_

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/blob/blob_cache.h"
#include "common/identity/principal.h"
#include "common/metrics/metrics.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/inference/batching/model_queue.h"
#include "services/inference/model_metrics.h"
#include "services/inference/model_runtime.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::worker {

/// A model that answers calls. Immutable but for its queue and its metrics.
struct ServedModel {
  DeploymentName deployment;
  VersionName version;
  // The same as texts, since each call compares or answers them.
  std::string deployment_name;
  std::string version_name;
  std::string version_number;
  std::string platform;
  /// Of the classes that it tells apart, by index; may be empty.
  std::vector<std::string> labels;
  std::shared_ptr<const LoadedModel> model;
  // Its calls; the Batcher's.
  std::unique_ptr<ModelQueue> queue = nullptr;
  ModelMetrics metrics;
};

/// Keeps a model alive during a request: an unloaded one dies with its last handle.
using ModelHandle = std::shared_ptr<const ServedModel>;

/// One version for one deployment, as it is reported.
struct ModelReport {
  enum class State { kLoading, kReady, kFailed, kUnloading };
  DeploymentName deployment;
  VersionName version;
  State state = State::kLoading;
  /// Why the load failed.
  std::string error = "";
  int64_t memory_bytes = 0;
  // What is known of it while it is ready.
  Signature signature = {};
  std::string platform = "";
  std::optional<PrecisionCheck> precision_check = std::nullopt;
};

/// The models of this worker. Loads run on threads of its own: files into the cache, digests
/// checked, model made, signature compared with the registry's, warmed up; only then is the model
/// swapped in. A load that fails leaves everything else as it was. Any thread.
class LoadedModels {
 public:
  /// How often a model runs before it answers calls: first runs are slower.
  static constexpr int kWarmUpRuns = 3;

  /// All outlive this object. `loaders` is how many models load at once, `batching` what holds
  /// where a deployment does not say.
  LoadedModels(BlobCache& cache, ModelRuntime& runtime, Metrics& metrics, int loaders = 2,
               BatchPolicy batching = {}, const Clock& clock = Clock::Real());
  /// Gives loads up that still run.
  ~LoadedModels();

  /// Begins to load `version` for `deployment` and returns what is reported of it. One that loads
  /// or is ready already stays as it is; one that had failed is tried again. `settings` say how it
  /// runs.
  /// Errors: InvalidField (deployment, model_version...): names, paths or digests that are none,
  /// or a version of another tenant.
  absl::StatusOr<ModelReport> Load(std::string_view deployment,
                                   const slipway::registry::v1::ModelVersion& version,
                                   std::string token, RuntimeSettings settings = {},
                                   std::optional<BatchPolicy> batching = std::nullopt);

  /// What holds where a deployment says nothing.
  const BatchPolicy& batching() const { return batching_; }

  /// Takes it away from new calls at once; it is freed with the last call that has it. A load that
  /// still runs is given up. OK where there is no such model.
  absl::Status Unload(std::string_view deployment, std::string_view version);

  /// What there is, by deployment and version.
  std::vector<ModelReport> List();

  /// Those models that answer calls and that `who` may see, by deployment and version. Both texts
  /// as in Find(); an empty deployment: all. Errors: as Find(), where a deployment is named.
  absl::StatusOr<std::vector<ModelHandle>> FindAll(const Principal& who,
                                                   std::string_view deployment,
                                                   std::string_view version) const;

  /// The model that answers `deployment`'s calls. `version` is a version's full name, its number,
  /// or empty: then the one that became ready last.
  /// Errors: kNotFound, in the same words where the deployment is another tenant's; kUnavailable
  /// where it is here and not ready.
  absl::StatusOr<ModelHandle> Find(const Principal& who, std::string_view deployment,
                                   std::string_view version) const;

 private:
  struct Key {
    DeploymentName deployment;
    VersionName version;
    auto operator<=>(const Key&) const = default;
  };
  struct Job;
  struct Entry {
    ModelReport report;
    ModelHandle served;        // while ready
    std::shared_ptr<Job> job;  // while loading
  };
  // What calls look up; by deployment's full name, for each that has an entry.
  struct Served {
    std::string tenant;
    // Those that are ready, the newest last.
    std::vector<ModelHandle> versions;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void RunLoader(const std::stop_token& stop);
  absl::StatusOr<ModelHandle> Make(const Job& job);
  absl::StatusOr<ModelFiles> FetchFiles(const Job& job);
  absl::StatusOr<std::unique_ptr<ModelQueue>> MakeQueue(const Job& job,
                                                        std::shared_ptr<const LoadedModel> model);
  void Finish(const std::shared_ptr<Job>& job, absl::StatusOr<ModelHandle> made);
  /// Rebuilds what calls look up of one deployment; `newest`, where it is not null, comes last.
  void Publish(const DeploymentName& deployment, const ModelHandle& newest) REQUIRES(mutex_);
  /// Why Find() has nothing to give.
  absl::Status NotReady(std::string_view deployment, std::string_view version) const
      REQUIRES(mutex_);

  BlobCache& cache_;
  ModelRuntime& runtime_;
  Metrics& metrics_;
  const BatchPolicy batching_;
  const Clock& clock_;

  mutable Mutex mutex_;
  CondVar queued_;
  std::deque<std::shared_ptr<Job>> queue_ GUARDED_BY(mutex_);
  std::map<Key, Entry> entries_ GUARDED_BY(mutex_);
  // Unloaded, and perhaps still in use.
  std::map<Key, std::weak_ptr<const ServedModel>> leaving_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, Served, TextHash, std::equal_to<>> served_ GUARDED_BY(mutex_);

  std::vector<std::jthread> loaders_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_LOADED_MODELS_H_
