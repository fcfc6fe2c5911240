#include "services/inference/loaded_models.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "common/log/log.h"
#include "common/names/file_path.h"
#include "common/nn/model_description.h"
#include "common/sync/background.h"
#include "fmt/format.h"
#include "services/inference/batching/measured_batches.h"
#include "services/inference/pipeline/pipeline_source.h"
#include "services/inference/signature.h"
#include "services/inference/warm_up.h"

namespace slipway::worker {

using State = ModelReport::State;

// What one version is made of.
struct LoadedModels::Part {
  struct File {
    std::string path;
    BlobName blob;
    int64_t size_bytes = 0;
  };
  std::string format;
  std::vector<File> files;
  Signature signature;
  std::string method;
};

// A load under way.
struct LoadedModels::Job {
  Key key;
  Part version;
  // Of a pipeline, with the versions of its steps by name.
  std::optional<slipway::registry::v1::Pipeline> pipeline;
  std::map<std::string, Part> steps;
  std::vector<std::string> labels;
  std::string token;
  ModelSettings settings;
  // What its files have, until it was loaded once. Only the loader that has the job looks.
  MemoryUse memory;
  std::atomic<bool> cancelled = false;
};

namespace {

MemoryUse MemoryOf(const LoadedModel& model) {
  return {model.memory_bytes(), model.device_memory_bytes()};
}

// How often a load that waits for models that are in use looks again.
constexpr std::chrono::milliseconds kRoomPause{2};

}  // namespace

LoadedModels::LoadedModels(BlobCache& cache, ModelRuntime& runtime, Batcher& batcher,
                           Metrics& metrics, Options options, const Clock& clock)
    : cache_(cache),
      runtime_(runtime),
      batcher_(batcher),
      metrics_(metrics),
      options_(std::move(options)),
      clock_(clock),
      caches_(options_.max_response_cache_bytes, clock) {
  for (int i = 0; i < options_.loaders; ++i) {
    loaders_.emplace_back([this](const std::stop_token& stop) { RunLoader(stop); });
  }
}

LoadedModels::~LoadedModels() {
  for (std::jthread& loader : loaders_) loader.request_stop();
  {
    MutexLock lock(mutex_);
    for (auto& [key, entry] : entries_) {
      if (entry.job != nullptr) entry.job->cancelled = true;
    }
    queued_.SignalAll();
  }
  loaders_.clear();
}

absl::StatusOr<LoadedModels::Part> LoadedModels::ReadPart(
    const slipway::registry::v1::ModelVersion& version, const std::string& tenant,
    const std::string& field) const {
  ASSIGN_OR_RETURN(const VersionName name, VersionName::Parse(field + ".name", version.name()));
  if (name.model.tenant != tenant) {
    return InvalidField(field + ".name", "belongs to another tenant than the deployment");
  }
  RETURN_IF_ERROR(CheckIsolation(options_.isolation, tenant, version));
  Part part{.format = version.artifact().format(), .files = {}, .signature = {}, .method = ""};
  ASSIGN_OR_RETURN(part.signature, ParseSignature(version.signature(), field + ".signature"));
  part.method = version.signature().method();
  for (int i = 0; i < version.artifact().files_size(); ++i) {
    const auto& file = version.artifact().files(i);
    const std::string here = fmt::format("{}.artifact.files[{}]", field, i);
    RETURN_IF_ERROR(CheckFilePath(here + ".path", file.path()));
    if (part.format == nn::kArtifactFormat && file.path().starts_with(nn::kAboutFolder)) continue;
    ASSIGN_OR_RETURN(Digest digest, Digest::Parse(here + ".digest", file.digest()));
    if (file.size_bytes() < 0) return InvalidField(here + ".size_bytes", "must be >= 0");
    part.files.push_back({file.path(), {tenant, std::move(digest)}, file.size_bytes()});
  }
  return part;
}

absl::StatusOr<ModelReport> LoadedModels::Load(std::string_view deployment,
                                               const slipway::registry::v1::ModelVersion& version,
                                               std::string token,
                                               std::optional<ModelSettings> settings,
                                               const Versions& steps) {
  auto job = std::make_shared<Job>();
  ASSIGN_OR_RETURN(job->key.deployment, DeploymentName::Parse("deployment", deployment));
  ASSIGN_OR_RETURN(job->key.version, VersionName::Parse("model_version.name", version.name()));
  const std::string& tenant = job->key.deployment.tenant;
  ASSIGN_OR_RETURN(job->version, ReadPart(version, tenant, "model_version"));
  if (version.has_pipeline()) job->pipeline = version.pipeline();
  for (int i = 0; i < steps.size(); ++i) {
    ASSIGN_OR_RETURN(job->steps[steps[i].name()],
                     ReadPart(steps[i], tenant, fmt::format("steps[{}]", i)));
  }
  int64_t& expected = options_.on_device ? job->memory.device : job->memory.host;
  for (const Part::File& file : job->version.files) expected += file.size_bytes;
  for (const auto& [name, step] : job->steps) {
    for (const Part::File& file : step.files) expected += file.size_bytes;
  }
  job->labels.assign(version.labels().begin(), version.labels().end());
  job->token = std::move(token);
  job->settings = std::move(settings).value_or(ModelSettings{.batching = options_.batching});

  MutexLock lock(mutex_);
  Entry& entry = entries_[job->key];
  if (entry.loading || entry.served != nullptr) return entry.report;
  entry.report = {.deployment = job->key.deployment, .version = job->key.version};
  entry.job = job;
  entry.loading = true;
  Publish(job->key.deployment, nullptr);
  queue_.push_back(std::move(job));
  queued_.Signal();
  return entry.report;
}

absl::Status LoadedModels::Unload(std::string_view deployment, std::string_view version) {
  Key key;
  ASSIGN_OR_RETURN(key.deployment, DeploymentName::Parse("deployment", deployment));
  ASSIGN_OR_RETURN(key.version, VersionName::Parse("model_version", version));
  // Freed after the lock is given back.
  ModelHandle last;
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) return absl::OkStatus();
    if (entry->second.job != nullptr) entry->second.job->cancelled = true;
    last = std::move(entry->second.served);
    if (last != nullptr) {
      leaving_[key] = {last, entry->second.report.memory};
      last->metrics.SetLoadedBytes(0);
    }
    entries_.erase(entry);
    Publish(key.deployment, nullptr);
  }
  if (last != nullptr) RefuseWaiting(*last);
  Log(Severity::kInfo, "model_unloaded", {{"deployment", deployment}, {"model_version", version}});
  return absl::OkStatus();
}

void LoadedModels::RefuseWaiting(const ServedModel& model) {
  if (batcher_.has_model(*model.queue)) return;
  batcher_.Clear(*model.queue,
                 absl::UnavailableError(fmt::format("{} was unloaded", model.deployment_name)));
}

void LoadedModels::LoadAgain(const ModelHandle& model) {
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find({model->deployment, model->version});
    if (entry != entries_.end() && entry->second.served == model) {
      if (entry->second.loading || batcher_.has_model(*model->queue)) return;
      entry->second.loading = true;
      queue_.push_back(entry->second.job);
      queued_.Signal();
      return;
    }
  }
  RefuseWaiting(*model);
}

std::vector<ModelReport> LoadedModels::List() {
  std::vector<ModelReport> reports;
  MutexLock lock(mutex_);
  std::erase_if(leaving_, [](const auto& model) { return model.second.model.expired(); });
  for (const auto& [key, entry] : entries_) reports.push_back(entry.report);
  for (const auto& [key, model] : leaving_) {
    if (entries_.contains(key)) continue;
    reports.push_back(
        {.deployment = key.deployment, .version = key.version, .state = State::kUnloading});
  }
  return reports;
}

absl::StatusOr<ModelHandle> LoadedModels::Find(const Principal& who, std::string_view deployment,
                                               std::string_view version) const {
  MutexLock lock(mutex_);
  const auto served = served_.find(deployment);
  if (served == served_.end() || !who.MayAccess(served->second.tenant)) {
    return NotFound(deployment.substr(0, 200));
  }
  const std::vector<ModelHandle>& versions = served->second.versions;
  if (version.empty() && !versions.empty()) return versions.back();
  for (auto model = versions.rbegin(); model != versions.rend(); ++model) {
    if ((*model)->version_name == version || (*model)->version_number == version) return *model;
  }
  return NotReady(deployment, version);
}

absl::StatusOr<std::vector<ModelHandle>> LoadedModels::FindAll(const Principal& who,
                                                               std::string_view deployment,
                                                               std::string_view version) const {
  std::vector<ModelHandle> found;
  if (!deployment.empty() && !version.empty()) {
    ASSIGN_OR_RETURN(ModelHandle model, Find(who, deployment, version));
    found.push_back(std::move(model));
    return found;
  }
  // Says why there is none.
  if (!deployment.empty()) RETURN_IF_ERROR(Find(who, deployment, version).status());
  MutexLock lock(mutex_);
  for (const auto& [key, entry] : entries_) {
    if (entry.served == nullptr || !who.MayAccess(key.deployment.tenant)) continue;
    if (deployment.empty() || entry.served->deployment_name == deployment) {
      found.push_back(entry.served);
    }
  }
  return found;
}

absl::Status LoadedModels::NotReady(std::string_view deployment, std::string_view version) const {
  for (const auto& [key, entry] : entries_) {
    if (key.deployment.ToString() != deployment) continue;
    const bool named = version.empty() || key.version.ToString() == version ||
                       std::to_string(key.version.number) == version;
    if (!named) continue;
    return absl::UnavailableError(
        entry.report.state == State::kFailed
            ? fmt::format("{} of {} could not be loaded: {}", key.version.ToString(), deployment,
                          entry.report.error)
            : fmt::format("{} of {} is loading", key.version.ToString(), deployment));
  }
  return NotFound(fmt::format("version {} of {}", version.substr(0, 200), deployment));
}

void LoadedModels::RunLoader(const std::stop_token& stop) {
  WorkInBackground();
  while (!stop.stop_requested()) {
    const std::shared_ptr<Job> job = AwaitJob(stop);
    if (job == nullptr) {
      EvictIdle();
    } else if (!job->cancelled) {
      Run(job);
    }
  }
}

std::shared_ptr<LoadedModels::Job> LoadedModels::AwaitJob(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  if (queue_.empty() && !stop.stop_requested()) {
    queued_.WaitFor(mutex_, absl::ToChronoNanoseconds(options_.max_idle / 4));
  }
  if (queue_.empty() || stop.stop_requested()) return nullptr;
  std::shared_ptr<Job> job = std::move(queue_.front());
  queue_.pop_front();
  return job;
}

void LoadedModels::Run(const std::shared_ptr<Job>& job) {
  ModelHandle served;
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(job->key);
    if (entry != entries_.end() && entry->second.job == job) served = entry->second.served;
  }
  const ReaderThreads::GoFirst readers_go_first(readers_);
  absl::StatusOr<LoadedModelPtr> model = LoadFiles(*job);
  if (served != nullptr) {
    FinishAgain(job, *served, std::move(model));
  } else if (model.ok()) {
    FinishFirst(job, Serve(*job, *std::move(model)));
  } else {
    FinishFirst(job, model.status());
  }
}

absl::StatusOr<ModelSource> LoadedModels::Fetch(const Job& job, const Part& part) {
  ModelSource source{.format = part.format,
                     .files = {},
                     .settings = job.settings.runtime,
                     .signature = part.signature,
                     .method = part.method};
  for (const Part::File& file : part.files) {
    absl::StatusOr<std::string> path = cache_.Fetch(file.blob, file.size_bytes, job.token,
                                                    [&job] { return job.cancelled.load(); });
    if (!path.ok()) return Annotate(path.status(), file.path);
    source.files[file.path] = *std::move(path);
  }
  return source;
}

absl::StatusOr<ModelSource> LoadedModels::FetchAll(const Job& job) {
  ASSIGN_OR_RETURN(ModelSource source, Fetch(job, job.version));
  if (!job.pipeline) return source;
  auto pipeline = std::make_shared<PipelineSource>();
  pipeline->definition = *job.pipeline;
  for (const auto& [name, step] : job.steps) {
    absl::StatusOr<ModelSource> fetched = Fetch(job, step);
    if (!fetched.ok()) return Annotate(fetched.status(), name);
    pipeline->models[name] = *std::move(fetched);
  }
  source.pipeline = std::move(pipeline);
  return source;
}

absl::StatusOr<LoadedModels::LoadedModelPtr> LoadedModels::LoadFiles(Job& job) {
  ASSIGN_OR_RETURN(const ModelSource source, FetchAll(job));
  RETURN_IF_ERROR(MakeRoom(job));
  ASSIGN_OR_RETURN(LoadedModelPtr model, runtime_.Load(source));
  if (job.cancelled) return absl::CancelledError("the load was given up");
  RETURN_IF_ERROR(CheckSameSignature(job.version.signature, model->signature()));
  RETURN_IF_ERROR(WarmUp(*model, source));
  job.memory = MemoryOf(*model);
  RETURN_IF_ERROR(MakeRoom(job));
  return model;
}

absl::StatusOr<ModelHandle> LoadedModels::Serve(const Job& job, LoadedModelPtr model) {
  const std::string deployment = job.key.deployment.ToString();
  const std::string version = job.key.version.ToString();
  std::string platform(model->platform());
  ASSIGN_OR_RETURN(std::unique_ptr<SequenceTable> sequences,
                   MakeSequences(job, model->signature()));
  Signature signature = sequences == nullptr ? model->signature() : sequences->layout().visible();
  ASSIGN_OR_RETURN(std::unique_ptr<ModelQueue> queue, MakeQueue(job, std::move(model)));
  auto served = std::make_shared<ServedModel>(
      ServedModel{.deployment = job.key.deployment,
                  .version = job.key.version,
                  .deployment_name = deployment,
                  .version_name = version,
                  .version_number = std::to_string(job.key.version.number),
                  .platform = std::move(platform),
                  .parallelism = ParallelismOf(job.settings.batching),
                  .labels = job.labels,
                  .signature = std::move(signature),
                  .queue = std::move(queue),
                  .metrics = ModelMetrics(metrics_, deployment, version),
                  .cache = caches_.Make(job.key.deployment.tenant, job.settings.cache),
                  .sequences = std::move(sequences)});
  return served;
}

absl::StatusOr<std::unique_ptr<SequenceTable>> LoadedModels::MakeSequences(
    const Job& job, const Signature& model) const {
  if (job.version.signature.states.empty()) {
    if (!job.settings.sequences) return nullptr;
    return InvalidField("runtime.sequences", "the version was registered without states");
  }
  if (job.settings.cache.max_bytes > 0) {
    return InvalidField("runtime.response_cache",
                        "what a model with states answers depends on the calls before");
  }
  ASSIGN_OR_RETURN(StateLayout layout, StateLayout::Make(model, job.version.signature.states,
                                                         "model_version.signature.states"));
  SequenceSettings settings = job.settings.sequences.value_or(SequenceSettings());
  const int64_t each = SequenceTable::kSequenceBytes + layout.bytes();
  const auto room = static_cast<size_t>(options_.max_sequence_bytes / each);
  if (settings.max_sequences == 0) {
    settings.max_sequences = std::min(SequenceSettings::kMostByDefault, room);
  }
  if (room == 0 || settings.max_sequences > room) {
    return InvalidField(
        "runtime.sequences.max_sequences",
        fmt::format("this worker has room for {} sequences of {} bytes", room, each));
  }
  return std::make_unique<SequenceTable>(std::move(layout), settings, clock_);
}

Parallelism LoadedModels::ParallelismOf(const BatchPolicy& policy) const {
  Parallelism parallelism = options_.parallelism;
  if (policy.max_instances > 0) {
    parallelism.instances = std::min(parallelism.instances, policy.max_instances);
  }
  return parallelism;
}

absl::StatusOr<std::unique_ptr<ModelQueue>> LoadedModels::MakeQueue(const Job& job,
                                                                    LoadedModelPtr model) {
  BatchPolicy policy = job.settings.batching;
  ASSIGN_OR_RETURN(Padding padding,
                   Padding::Make(policy.padding, model->signature(), "runtime.batching.padding"));
  MeasuredBatches measured;
  if (policy.max_rows == 0) {
    ASSIGN_OR_RETURN(measured, MeasureBatches(*model, clock_));
    policy.max_rows = measured.best_rows;
  }
  auto queue = std::make_unique<ModelQueue>(policy, job.key.deployment.tenant, std::move(model),
                                            clock_.Monotonic(), std::move(padding));
  for (const MeasuredBatches::Run& run : measured.runs) {
    Log(Severity::kInfo, "model_measured",
        {{"deployment", job.key.deployment.ToString()},
         {"model_version", job.key.version.ToString()},
         {"rows", run.rows},
         {"run_seconds", run.took},
         {"chosen", run.rows == policy.max_rows}});
    // Its rows were one position long.
    if (policy.padding.empty()) queue->Learn(run.rows, run.took, clock_.Monotonic());
  }
  return queue;
}

void LoadedModels::FinishFirst(const std::shared_ptr<Job>& job, absl::StatusOr<ModelHandle> made) {
  MutexLock lock(mutex_);
  // Goes before the lock does: once others can see the model, this thread holds no handle that
  // would keep it alive past its unloading.
  const absl::StatusOr<ModelHandle> result = std::move(made);
  const auto entry = entries_.find(job->key);
  // Unloaded, or loaded anew, in the meantime.
  if (entry == entries_.end() || entry->second.job != job) return;
  entry->second.loading = false;
  entry->second.reserved = {};
  if (!result.ok()) return Fail(entry->second, result.status());
  const ServedModel& served = **result;
  const LoadedModel& model = *served.queue->model();
  ModelReport& report = entry->second.report;
  report.state = State::kReady;
  report.signature = served.signature;
  report.platform = served.platform;
  report.precision_check = model.precision_check();
  report.max_rows = served.queue->policy().max_rows;
  report.parallelism = served.parallelism;
  entry->second.served = *result;
  CountIn(entry->second, model);
  Publish(job->key.deployment, *result);
}

void LoadedModels::FinishAgain(const std::shared_ptr<Job>& job, const ServedModel& served,
                               absl::StatusOr<LoadedModelPtr> model) {
  absl::Status failed = model.status();
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(job->key);
    if (found == entries_.end() || found->second.job != job) {
      failed = absl::CancelledError("it was unloaded");
    } else {
      Entry& entry = found->second;
      entry.loading = false;
      entry.reserved = {};
      if (model.ok()) {
        CountIn(entry, **model);
        served.metrics.CountReload();
        return batcher_.SetModel(*served.queue, *std::move(model));
      }
      // Where there was no room it stays as it was, and its next call tries again.
      if (!absl::IsResourceExhausted(failed)) Fail(entry, failed);
    }
  }
  batcher_.Clear(*served.queue, absl::UnavailableError(fmt::format(
                                    "{} could not be loaded again: {}", served.version_name,
                                    std::string(failed.message()))));
}

void LoadedModels::CountIn(Entry& entry, const LoadedModel& model) {
  const MemoryUse& memory = entry.report.memory = MemoryOf(model);
  entry.served->metrics.SetLoadedBytes(memory.total());
  Log(Severity::kInfo, "model_loaded",
      {{"deployment", entry.served->deployment_name},
       {"model_version", entry.served->version_name},
       {"bytes", memory.host},
       {"device_bytes", memory.device}});
}

void LoadedModels::Fail(Entry& entry, const absl::Status& why) {
  entry.report.state = State::kFailed;
  entry.report.error = std::string(why.message());
  entry.served = nullptr;
  Publish(entry.report.deployment, nullptr);
  Log(Severity::kWarning, "model_load_failed",
      {{"deployment", entry.report.deployment.ToString()},
       {"model_version", entry.report.version.ToString()},
       {"error", why}});
}

absl::Status LoadedModels::MakeRoom(const Job& job) {
  const struct {
    int64_t most;
    int64_t MemoryUse::*kind;
    std::string_view of;
  } bounds[] = {{options_.max_bytes, &MemoryUse::host, ""},
                {options_.max_device_bytes, &MemoryUse::device, " of the device's memory"}};
  const absl::Duration give_up = clock_.Monotonic() + options_.patience;
  for (;;) {
    // Freed after the lock is given back.
    LoadedModelPtr evicted;
    MutexLock lock(mutex_);
    const auto entry = entries_.find(job.key);
    if (job.cancelled || entry == entries_.end() || entry->second.job.get() != &job) {
      return absl::CancelledError("the load was given up");
    }
    entry->second.reserved = {};
    const Memory memory = CountMemory();
    int64_t MemoryUse::*lacking = nullptr;
    for (const auto& [most, kind, of] : bounds) {
      const int64_t bytes = job.memory.*kind;
      if (most == 0 || bytes == 0 || memory.used.*kind + bytes <= most) continue;
      if (memory.pinned.*kind + bytes > most) {
        return absl::ResourceExhaustedError(fmt::format(
            "it takes {} bytes{}, and pinned models {} of the {} that models may take here", bytes,
            of, memory.pinned.*kind, most));
      }
      lacking = kind;
    }
    if (lacking == nullptr) {
      entry->second.reserved = job.memory;
      return absl::OkStatus();
    }
    evicted = EvictOne(absl::InfiniteDuration(), lacking);
    if (evicted != nullptr) continue;
    // No call tells when it was its model's last, since each would pay for that.
    if (clock_.Monotonic() >= give_up) {
      return absl::ResourceExhaustedError("the models that are in memory are all in use");
    }
    room_.WaitFor(mutex_, kRoomPause);
  }
}

LoadedModels::Memory LoadedModels::CountMemory() const {
  Memory memory;
  for (const auto& [key, entry] : entries_) {
    memory.used += entry.report.memory;
    memory.used += entry.reserved;
    if (entry.job->settings.pinned) memory.pinned += entry.report.memory;
  }
  for (const auto& [key, leaving] : leaving_) {
    if (!leaving.model.expired()) memory.used += leaving.memory;
  }
  return memory;
}

int64_t LoadedModels::accounted_bytes() const {
  MutexLock lock(mutex_);
  int64_t bytes = CountMemory().used.host;
  for (const auto& [key, entry] : entries_) {
    if (entry.served == nullptr) continue;
    const ServedModel& model = *entry.served;
    if (model.cache != nullptr) bytes += model.cache->bytes();
    if (model.sequences != nullptr) bytes += model.sequences->bytes();
  }
  return bytes;
}

LoadedModels::LoadedModelPtr LoadedModels::EvictOne(absl::Duration before,
                                                    int64_t MemoryUse::*kind) {
  std::vector<std::pair<absl::Duration, Entry*>> candidates;
  for (auto& [key, entry] : entries_) {
    if (entry.served == nullptr || entry.job->settings.pinned) continue;
    if (kind != nullptr && entry.report.memory.*kind == 0) continue;
    const absl::Duration last_used = batcher_.last_used(*entry.served->queue);
    if (last_used < before) candidates.emplace_back(last_used, &entry);
  }
  std::sort(candidates.begin(), candidates.end());
  for (const auto& [last_used, entry] : candidates) {
    LoadedModelPtr model = batcher_.TakeModel(*entry->served->queue);
    if (model == nullptr) continue;
    entry->report.memory = {};
    entry->served->metrics.SetLoadedBytes(0);
    Log(Severity::kInfo, "model_left_memory",
        {{"deployment", entry->served->deployment_name},
         {"model_version", entry->served->version_name}});
    return model;
  }
  return nullptr;
}

void LoadedModels::EvictIdle() {
  if (options_.max_idle == absl::InfiniteDuration()) return;
  LoadedModelPtr evicted;
  do {
    evicted = nullptr;
    MutexLock lock(mutex_);
    evicted = EvictOne(clock_.Monotonic() - options_.max_idle, /*kind=*/nullptr);
  } while (evicted != nullptr);
}

void LoadedModels::Publish(const DeploymentName& deployment, const ModelHandle& newest) {
  Served served{.tenant = deployment.tenant, .versions = {}};
  const std::string name = deployment.ToString();
  // Those that were there keep their order.
  if (const auto known = served_.find(name); known != served_.end()) {
    for (const ModelHandle& model : known->second.versions) {
      const auto entry = entries_.find({deployment, model->version});
      if (entry != entries_.end() && entry->second.served == model && model != newest) {
        served.versions.push_back(model);
      }
    }
  }
  if (newest != nullptr) served.versions.push_back(newest);
  const auto any = entries_.lower_bound({deployment, VersionName{}});
  if (any == entries_.end() || any->first.deployment != deployment) {
    served_.erase(name);
  } else {
    served_.insert_or_assign(name, std::move(served));
  }
}

}  // namespace slipway::worker
