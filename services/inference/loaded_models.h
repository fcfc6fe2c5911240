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
#include "services/inference/batching/batcher.h"
#include "services/inference/isolation.h"
#include "services/inference/model_metrics.h"
#include "services/inference/model_runtime.h"
#include "services/inference/model_settings.h"
#include "services/inference/parallelism.h"
#include "services/inference/reader_threads.h"
#include "services/inference/response_cache/response_cache.h"
#include "services/inference/sequences/sequence_table.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::worker {

/// A model that answers calls, in memory or not. Immutable but for its queue, its metrics, its
/// cache and its sequences.
struct ServedModel {
  DeploymentName deployment;
  VersionName version;
  // The same as texts, since each call compares or answers them.
  std::string deployment_name;
  std::string version_name;
  std::string version_number;
  std::string platform;
  Parallelism parallelism;
  /// Of the classes that it tells apart, by index; may be empty.
  std::vector<std::string> labels;
  Signature signature;
  // Its calls; the Batcher's. It holds the model while that is in memory.
  std::unique_ptr<ModelQueue> queue;
  ModelMetrics metrics;
  // Null where its deployment wants none.
  std::unique_ptr<ResponseCache> cache = nullptr;
  // Null where the model has no states; else they are not in `signature`'s tensors.
  std::unique_ptr<SequenceTable> sequences = nullptr;
};

/// Keeps a model alive during a request: one that was taken away dies with its last handle.
using ModelHandle = std::shared_ptr<const ServedModel>;

/// Bytes of the machine's memory, and of the device's where that has its own.
struct MemoryUse {
  int64_t host = 0;
  int64_t device = 0;

  int64_t total() const { return host + device; }
  MemoryUse& operator+=(const MemoryUse& other) {
    host += other.host;
    device += other.device;
    return *this;
  }
};

/// One version for one deployment, as it is reported.
struct ModelReport {
  enum class State { kLoading, kReady, kFailed, kUnloading };
  DeploymentName deployment;
  VersionName version;
  State state = State::kLoading;
  /// Why the load failed.
  std::string error = "";
  /// None while it is not in memory, also where it is ready.
  MemoryUse memory = {};
  // What is known of it while it is ready.
  Signature signature = {};
  std::string platform = "";
  std::optional<PrecisionCheck> precision_check = std::nullopt;
  /// Rows of one run, as they were said or measured.
  int64_t max_rows = 0;
  Parallelism parallelism = {};
};

/// The models of this worker. Loads run on threads of its own: files into the cache, digests
/// checked, model made, signature compared with the registry's, warmed up; only then is the model
/// swapped in. A load that fails leaves everything else as it was.
///
/// Models leave memory to make room for others within Options::max_bytes and max_device_bytes,
/// those first that were called longest ago, and stay ready: the next call waits in its queue,
/// within its deadline, while the model is loaded again. No model leaves while calls wait for it or
/// run in it, or where its deployment pins it. Any thread.
class LoadedModels {
 public:
  using Versions = google::protobuf::RepeatedPtrField<slipway::registry::v1::ModelVersion>;

  struct Options {
    /// How many models load at once.
    int loaders = 2;
    /// What holds where a deployment does not say.
    BatchPolicy batching = {};
    /// What the runtime was made for.
    Parallelism parallelism = {};
    /// Of the machine's memory and of the device's, for all models; 0: no bound.
    int64_t max_bytes = 0;
    int64_t max_device_bytes = 0;
    /// Where a model is expected to lie before its first load has shown it.
    bool on_device = false;
    /// A model that was not called for so long leaves memory.
    absl::Duration max_idle = absl::InfiniteDuration();
    /// How long a load waits for room while all other models are in use.
    absl::Duration patience = absl::Seconds(10);
    /// For the answers that one tenant's deployments keep.
    int64_t max_response_cache_bytes = int64_t{256} << 20;
    /// For the states of one model's sequences.
    int64_t max_sequence_bytes = int64_t{256} << 20;
    Isolation isolation = {.share_uploaded = true};
  };
  /// All outlive this object.
  LoadedModels(BlobCache& cache, ModelRuntime& runtime, Batcher& batcher, Metrics& metrics,
               Options options, const Clock& clock = Clock::Real());
  /// Gives loads up that still run.
  ~LoadedModels();

  /// Begins to load `version` for `deployment` and returns what is reported of it. One that loads
  /// or is ready already stays as it is; one that had failed is tried again. `settings` say how it
  /// runs; without them Options do. `steps` are the versions that a pipeline's steps name.
  /// Errors: InvalidField (deployment, model_version..., steps[0]...): names, paths or digests that
  /// are none, or a version of another tenant; those of CheckIsolation.
  absl::StatusOr<ModelReport> Load(std::string_view deployment,
                                   const slipway::registry::v1::ModelVersion& version,
                                   std::string token,
                                   std::optional<ModelSettings> settings = std::nullopt,
                                   const Versions& steps = {});

  /// Has a model loaded again that calls wait for.
  void LoadAgain(const ModelHandle& model);

  /// What holds where a deployment says nothing.
  const BatchPolicy& batching() const { return options_.batching; }

  /// Takes it away from new calls at once; it is freed with the last call that has it. A load that
  /// still runs is given up. OK where there is no such model.
  absl::Status Unload(std::string_view deployment, std::string_view version);

  /// What there is, by deployment and version.
  std::vector<ModelReport> List();

  /// What models take of this process's memory, also those that are leaving it, with the answers
  /// and the states of sequences that are kept for them.
  int64_t accounted_bytes() const;

  /// Those models that answer calls and that `who` may see, by deployment and version. Both texts
  /// as in Find(); an empty deployment: all. Errors: as Find(), where a deployment is named.
  absl::StatusOr<std::vector<ModelHandle>> FindAll(const Principal& who,
                                                   std::string_view deployment,
                                                   std::string_view version) const;

  /// The threads that call Find() for calls: a load gives way to them.
  ReaderThreads& readers() { return readers_; }

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
  struct Part;
  struct Job;
  struct Entry {
    ModelReport report;
    ModelHandle served;        // while ready
    std::shared_ptr<Job> job;  // what it is loaded by, again and again
    bool loading = false;
    // Set aside for the load that is under way.
    MemoryUse reserved;
  };
  // Unloaded, and perhaps still in use.
  struct Leaving {
    std::weak_ptr<const ServedModel> model;
    MemoryUse memory;
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

  using LoadedModelPtr = std::shared_ptr<const LoadedModel>;
  struct Memory {
    MemoryUse used;  // by models, also those that leave, and what is set aside
    MemoryUse pinned;
  };

  void RunLoader(const std::stop_token& stop);
  /// Null where there is nothing to load for a while.
  std::shared_ptr<Job> AwaitJob(const std::stop_token& stop);
  void Run(const std::shared_ptr<Job>& job);
  absl::StatusOr<Part> ReadPart(const slipway::registry::v1::ModelVersion& version,
                                const std::string& tenant, const std::string& field) const;
  absl::StatusOr<ModelSource> Fetch(const Job& job, const Part& part);
  absl::StatusOr<ModelSource> FetchAll(const Job& job);
  /// Into memory, and warmed up.
  absl::StatusOr<LoadedModelPtr> LoadFiles(Job& job);
  absl::StatusOr<ModelHandle> Serve(const Job& job, LoadedModelPtr model);
  Parallelism ParallelismOf(const BatchPolicy& policy) const;
  absl::StatusOr<std::unique_ptr<ModelQueue>> MakeQueue(const Job& job, LoadedModelPtr model);
  /// Null where the model has no states.
  absl::StatusOr<std::unique_ptr<SequenceTable>> MakeSequences(const Job& job,
                                                               const Signature& model) const;
  void FinishFirst(const std::shared_ptr<Job>& job, absl::StatusOr<ModelHandle> made);
  void FinishAgain(const std::shared_ptr<Job>& job, const ServedModel& served,
                   absl::StatusOr<LoadedModelPtr> model);
  void Fail(Entry& entry, const absl::Status& why) REQUIRES(mutex_);
  /// Ends the calls of a model that was taken away while it was not in memory.
  void RefuseWaiting(const ServedModel& model);

  /// Sets the job's bytes aside, taking other models out of memory. Errors: kResourceExhausted,
  /// kCancelled.
  absl::Status MakeRoom(const Job& job);
  Memory CountMemory() const REQUIRES(mutex_);
  void CountIn(Entry& entry, const LoadedModel& model) REQUIRES(mutex_);
  /// Takes the model out of memory that was used longest ago, of those that nobody uses, that were
  /// last used before `before` and that take any of `kind`, where that is not null; null where
  /// there is none. To be freed under no lock.
  LoadedModelPtr EvictOne(absl::Duration before, int64_t MemoryUse::*kind) REQUIRES(mutex_);
  void EvictIdle();

  /// Rebuilds what calls look up of one deployment; `newest`, where it is not null, comes last.
  void Publish(const DeploymentName& deployment, const ModelHandle& newest) REQUIRES(mutex_);
  /// Why Find() has nothing to give.
  absl::Status NotReady(std::string_view deployment, std::string_view version) const
      REQUIRES(mutex_);

  BlobCache& cache_;
  ModelRuntime& runtime_;
  Batcher& batcher_;
  Metrics& metrics_;
  const Options options_;
  const Clock& clock_;
  ResponseCaches caches_;

  ReaderThreads readers_;
  mutable Mutex mutex_;
  CondVar queued_;
  // Memory may have become free.
  CondVar room_;
  std::deque<std::shared_ptr<Job>> queue_ GUARDED_BY(mutex_);
  std::map<Key, Entry> entries_ GUARDED_BY(mutex_);
  std::map<Key, Leaving> leaving_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, Served, TextHash, std::equal_to<>> served_ GUARDED_BY(mutex_);

  std::vector<std::jthread> loaders_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_LOADED_MODELS_H_
