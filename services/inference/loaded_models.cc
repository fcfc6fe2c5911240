#include "services/inference/loaded_models.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "common/log/log.h"
#include "fmt/format.h"
#include "services/inference/batching/measured_batches.h"
#include "services/inference/signature.h"

namespace slipway::worker {

using State = ModelReport::State;

// A load under way.
struct LoadedModels::Job {
  struct File {
    std::string path;
    BlobName blob;
    int64_t size_bytes = 0;
  };
  Key key;
  std::string format;
  std::vector<File> files;
  Signature signature;
  std::vector<std::string> labels;
  std::string token;
  RuntimeSettings settings;
  BatchPolicy batching;
  std::atomic<bool> cancelled = false;
};

namespace {

// Paths become keys of a map and nothing else, but a runtime may make files of them one day.
absl::Status CheckPath(std::string_view field, const std::string& path) {
  const bool plain = !path.empty() && path.size() <= 512 && path.front() != '/' &&
                     ("/" + path + "/").find("/../") == std::string::npos &&
                     ("/" + path + "/").find("/./") == std::string::npos &&
                     path.find("//") == std::string::npos && path.find('\0') == std::string::npos;
  return plain ? absl::OkStatus() : InvalidField(field, "must be a relative path without . and ..");
}

absl::Status WarmUp(const LoadedModel& model) {
  ASSIGN_OR_RETURN(const TensorBatch inputs, ZeroInputs(model.signature()));
  for (int i = 0; i < LoadedModels::kWarmUpRuns; ++i) {
    ASSIGN_OR_RETURN(const TensorBatch outputs, model.Run(inputs, absl::InfiniteFuture()));
    RETURN_IF_ERROR(CheckOutputs(model.signature(), outputs));
  }
  return absl::OkStatus();
}

}  // namespace

LoadedModels::LoadedModels(BlobCache& cache, ModelRuntime& runtime, Metrics& metrics, int loaders,
                           BatchPolicy batching, const Clock& clock)
    : cache_(cache),
      runtime_(runtime),
      metrics_(metrics),
      batching_(std::move(batching)),
      clock_(clock) {
  for (int i = 0; i < loaders; ++i) {
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

absl::StatusOr<ModelReport> LoadedModels::Load(std::string_view deployment,
                                               const slipway::registry::v1::ModelVersion& version,
                                               std::string token, RuntimeSettings settings,
                                               std::optional<BatchPolicy> batching) {
  auto job = std::make_shared<Job>();
  ASSIGN_OR_RETURN(job->key.deployment, DeploymentName::Parse("deployment", deployment));
  ASSIGN_OR_RETURN(job->key.version, VersionName::Parse("model_version.name", version.name()));
  const std::string& tenant = job->key.deployment.tenant;
  if (job->key.version.model.tenant != tenant) {
    return InvalidField("model_version.name", "belongs to another tenant than the deployment");
  }
  job->format = version.artifact().format();
  ASSIGN_OR_RETURN(job->signature, ParseSignature(version.signature(), "model_version.signature"));
  job->labels.assign(version.labels().begin(), version.labels().end());
  for (int i = 0; i < version.artifact().files_size(); ++i) {
    const auto& file = version.artifact().files(i);
    const std::string field = fmt::format("model_version.artifact.files[{}]", i);
    RETURN_IF_ERROR(CheckPath(field + ".path", file.path()));
    ASSIGN_OR_RETURN(Digest digest, Digest::Parse(field + ".digest", file.digest()));
    if (file.size_bytes() < 0) return InvalidField(field + ".size_bytes", "must be >= 0");
    job->files.push_back({file.path(), {tenant, std::move(digest)}, file.size_bytes()});
  }
  job->token = std::move(token);
  job->settings = settings;
  job->batching = std::move(batching).value_or(batching_);

  MutexLock lock(mutex_);
  Entry& entry = entries_[job->key];
  if (entry.job != nullptr || entry.served != nullptr) return entry.report;
  entry.report = {.deployment = job->key.deployment, .version = job->key.version};
  entry.job = job;
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
  MutexLock lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return absl::OkStatus();
  if (entry->second.job != nullptr) entry->second.job->cancelled = true;
  last = std::move(entry->second.served);
  entries_.erase(entry);
  if (last != nullptr) {
    leaving_[key] = last;
    last->metrics.SetLoadedBytes(0);
  }
  Publish(key.deployment, nullptr);
  Log(Severity::kInfo, "model_unloaded", {{"deployment", deployment}, {"model_version", version}});
  return absl::OkStatus();
}

std::vector<ModelReport> LoadedModels::List() {
  std::vector<ModelReport> reports;
  MutexLock lock(mutex_);
  std::erase_if(leaving_, [](const auto& model) { return model.second.expired(); });
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
  for (;;) {
    std::shared_ptr<Job> job;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stop.stop_requested()) queued_.Wait(mutex_);
      if (stop.stop_requested()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    if (job->cancelled) continue;
    Finish(job, Make(*job));
  }
}

absl::StatusOr<ModelFiles> LoadedModels::FetchFiles(const Job& job) {
  ModelFiles files;
  for (const Job::File& file : job.files) {
    absl::StatusOr<std::string> path = cache_.Fetch(file.blob, file.size_bytes, job.token,
                                                    [&job] { return job.cancelled.load(); });
    if (!path.ok()) return Annotate(path.status(), file.path);
    files[file.path] = *std::move(path);
  }
  return files;
}

absl::StatusOr<ModelHandle> LoadedModels::Make(const Job& job) {
  ASSIGN_OR_RETURN(const ModelFiles files, FetchFiles(job));
  ASSIGN_OR_RETURN(std::shared_ptr<const LoadedModel> model,
                   runtime_.Load({job.format, files, job.settings}));
  if (job.cancelled) return absl::CancelledError("the load was given up");
  RETURN_IF_ERROR(CheckSameSignature(job.signature, model->signature()));
  if (const absl::Status warm = WarmUp(*model); !warm.ok()) return Annotate(warm, "warm-up");
  const std::string deployment = job.key.deployment.ToString();
  const std::string version = job.key.version.ToString();
  std::string platform(model->platform());
  ASSIGN_OR_RETURN(std::unique_ptr<ModelQueue> queue, MakeQueue(job, model));
  auto served = std::make_shared<ServedModel>(
      ServedModel{.deployment = job.key.deployment,
                  .version = job.key.version,
                  .deployment_name = deployment,
                  .version_name = version,
                  .version_number = std::to_string(job.key.version.number),
                  .platform = std::move(platform),
                  .labels = job.labels,
                  .model = model,
                  .queue = std::move(queue),
                  .metrics = ModelMetrics(metrics_, deployment, version)});
  return served;
}

absl::StatusOr<std::unique_ptr<ModelQueue>> LoadedModels::MakeQueue(
    const Job& job, std::shared_ptr<const LoadedModel> model) {
  BatchPolicy policy = job.batching;
  MeasuredBatches measured;
  if (policy.max_rows == 0) {
    ASSIGN_OR_RETURN(measured, MeasureBatches(*model, clock_));
    policy.max_rows = measured.best_rows;
  }
  auto queue = std::make_unique<ModelQueue>(policy, job.key.deployment.tenant, std::move(model));
  for (const MeasuredBatches::Run& run : measured.runs) {
    Log(Severity::kInfo, "model_measured",
        {{"deployment", job.key.deployment.ToString()},
         {"model_version", job.key.version.ToString()},
         {"rows", run.rows},
         {"run_seconds", run.took},
         {"chosen", run.rows == policy.max_rows}});
    queue->Learn(run.rows, run.took, clock_.Monotonic());
  }
  return queue;
}

void LoadedModels::Finish(const std::shared_ptr<Job>& job, absl::StatusOr<ModelHandle> made) {
  const std::string deployment = job->key.deployment.ToString();
  const std::string version = job->key.version.ToString();
  MutexLock lock(mutex_);
  // Goes before the lock does: once others can see the model, this thread holds no handle that
  // would keep it alive past its unloading.
  const absl::StatusOr<ModelHandle> result = std::move(made);
  const auto entry = entries_.find(job->key);
  // Unloaded, or loaded anew, in the meantime.
  if (entry == entries_.end() || entry->second.job != job) return;
  entry->second.job = nullptr;
  ModelReport& report = entry->second.report;
  if (!result.ok()) {
    report.state = State::kFailed;
    report.error = std::string(result.status().message());
    Log(Severity::kWarning, "model_load_failed",
        {{"deployment", deployment}, {"model_version", version}, {"error", result.status()}});
    return;
  }
  report.state = State::kReady;
  report.memory_bytes = (*result)->model->memory_bytes();
  report.signature = (*result)->model->signature();
  report.platform = (*result)->platform;
  report.precision_check = (*result)->model->precision_check();
  (*result)->metrics.SetLoadedBytes(report.memory_bytes);
  entry->second.served = *result;
  Publish(job->key.deployment, *result);
  Log(Severity::kInfo, "model_loaded",
      {{"deployment", deployment}, {"model_version", version}, {"bytes", report.memory_bytes}});
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
