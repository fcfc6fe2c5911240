#ifndef SLIPWAY_TESTS_UNIT_SERVICES_CONTROLLER_FAKES_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_CONTROLLER_FAKES_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "services/controller/deployment_store.h"
#include "services/controller/registry_client.h"
#include "services/controller/worker_client.h"
#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// Deployments in memory; outlives the controller of a test, as a database does.
class FakeDeploymentStore final : public DeploymentStore {
 public:
  absl::Status Create(const Deployment& deployment) override {
    MutexLock lock(mutex_);
    if (!fault_.ok()) return fault_;
    if (!rows_.emplace(deployment.name, deployment).second) {
      return absl::AlreadyExistsError(deployment.name.ToString());
    }
    return absl::OkStatus();
  }
  absl::Status Update(const Deployment& deployment) override {
    MutexLock lock(mutex_);
    if (!fault_.ok()) return fault_;
    const auto row = rows_.find(deployment.name);
    if (row == rows_.end()) return NotFound(deployment.name.ToString());
    row->second = deployment;
    return absl::OkStatus();
  }
  absl::Status Remove(const DeploymentName& name) override {
    MutexLock lock(mutex_);
    if (!fault_.ok()) return fault_;
    rows_.erase(name);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<Deployment>> All() override {
    MutexLock lock(mutex_);
    std::vector<Deployment> all;
    for (const auto& [name, row] : rows_) all.push_back(row);
    return all;
  }

  /// From now on each write answers this.
  void SetFault(absl::Status fault) {
    MutexLock lock(mutex_);
    fault_ = std::move(fault);
  }

 private:
  Mutex mutex_;
  absl::Status fault_ GUARDED_BY(mutex_);
  std::map<DeploymentName, Deployment> rows_ GUARDED_BY(mutex_);
};

/// Knows the versions and aliases that it was told of.
class FakeRegistry final : public RegistryClient {
 public:
  using ModelVersion = slipway::registry::v1::ModelVersion;

  void AddVersion(const std::string& name, ModelVersion::Origin origin = ModelVersion::TRAINED) {
    ModelVersion version;
    version.set_name(name);
    version.set_origin(origin);
    version.add_labels("boot");
    MutexLock lock(mutex_);
    answers_[name] = std::move(version);
  }
  /// A pipeline whose steps name `steps`.
  void AddPipeline(const std::string& name, const std::vector<std::string>& steps) {
    AddVersion(name);
    MutexLock lock(mutex_);
    for (const std::string& step : steps) {
      answers_[name].mutable_pipeline()->add_steps()->set_model_version(step);
    }
  }
  /// Of format "torchscript".
  void AddTorchScript(const std::string& name, const std::string& digest) {
    ModelVersion version;
    version.set_name(name);
    version.set_origin(ModelVersion::IMPORTED);
    version.mutable_artifact()->set_format("torchscript");
    auto& file = *version.mutable_artifact()->add_files();
    file.set_path("model.pt");
    file.set_digest(digest);
    MutexLock lock(mutex_);
    answers_[name] = std::move(version);
  }
  void SetAlias(const std::string& alias, const std::string& version) {
    MutexLock lock(mutex_);
    answers_[alias] = answers_.at(version);
  }
  void Remove(const std::string& name) {
    MutexLock lock(mutex_);
    answers_.erase(name);
  }
  void SetFault(absl::Status fault) {
    MutexLock lock(mutex_);
    fault_ = std::move(fault);
  }
  int calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }

  absl::StatusOr<slipway::registry::v1::ModelVersion> GetModelVersion(
      const Principal& who, const VersionReference& reference) override {
    MutexLock lock(mutex_);
    ++calls_;
    if (!fault_.ok()) return fault_;
    const auto answer = answers_.find(reference.ToString());
    if (answer == answers_.end() || who.tenant != reference.tenant()) {
      return NotFound(reference.ToString());
    }
    return answer->second;
  }

 private:
  mutable Mutex mutex_;
  absl::Status fault_ GUARDED_BY(mutex_);
  int calls_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, slipway::registry::v1::ModelVersion> answers_ GUARDED_BY(mutex_);
};

/// Workers whose loads end when the test says so. Addresses are "<pool>-<index>".
class FakeWorkers final : public WorkerClient {
 public:
  std::vector<absl::StatusOr<WorkerReport>> List(const std::vector<std::string>& addresses,
                                                 absl::Duration) override {
    std::vector<absl::StatusOr<WorkerReport>> answers;
    for (const std::string& address : addresses) {
      if (silent_.contains(address)) {
        answers.push_back(absl::DeadlineExceededError("silent"));
        continue;
      }
      WorkerReport report{.models = {}, .memory_ratio = ratios_[address]};
      for (const auto& [key, model] : models_[address]) report.models.push_back(model);
      answers.push_back(std::move(report));
    }
    return answers;
  }
  absl::Status Load(const std::string& address, const ModelKey& model,
                    const VersionDetails& version,
                    const slipway::worker::v1::RuntimeSettings& runtime) override {
    if (!refuse_.ok()) return refuse_;
    newest_runtime_ = runtime;
    newest_version_ = version;
    calls_.push_back(fmt::format("load {} on {}", model.version.number, address));
    models_[address][model] = {.key = model, .state = ObservedModel::State::kLoading};
    return absl::OkStatus();
  }
  absl::Status Unload(const std::string& address, const ModelKey& model) override {
    calls_.push_back(fmt::format("unload {} from {}", model.version.number, address));
    models_[address].erase(model);
    return absl::OkStatus();
  }

  /// Ends every load: version numbers in `failing` fail, the others are ready.
  void FinishLoads(const std::set<int64_t>& failing = {}) {
    for (auto& [address, models] : models_) {
      for (auto& [key, model] : models) {
        if (model.state != ObservedModel::State::kLoading) continue;
        const bool fails = failing.contains(key.version.number);
        model.state = fails ? ObservedModel::State::kFailed : ObservedModel::State::kReady;
        model.error = fails ? "model.safetensors: digest differs" : "";
        if (!fails) model.facts = facts_;
      }
    }
  }
  void Forget(const std::string& address) { models_.erase(address); }
  void SetSilent(const std::string& address, bool silent) {
    silent ? void(silent_.insert(address)) : void(silent_.erase(address));
  }
  void SetMemoryRatio(const std::string& address, double ratio) { ratios_[address] = ratio; }
  /// What is known of models that become ready from now on.
  void SetFacts(slipway::worker::v1::ModelFacts facts) { facts_ = std::move(facts); }
  /// What the newest load was told to be made of, and how it was to be run.
  const VersionDetails& newest_version() const { return newest_version_; }
  const slipway::worker::v1::RuntimeSettings& newest_runtime() const { return newest_runtime_; }
  void RefuseLoads(absl::Status status) { refuse_ = std::move(status); }

  /// What was asked since the last time.
  std::vector<std::string> TakeCalls() { return std::exchange(calls_, {}); }

 private:
  std::map<std::string, std::map<ModelKey, ReportedModel>> models_;
  std::set<std::string> silent_;
  std::map<std::string, double> ratios_;
  absl::Status refuse_;
  slipway::worker::v1::ModelFacts facts_;
  VersionDetails newest_version_;
  slipway::worker::v1::RuntimeSettings newest_runtime_;
  std::vector<std::string> calls_;
};

/// Processes that run from Start() until Die().
class FakePool final : public WorkerPool {
 public:
  FakePool(std::string name, int size, int isolated = 0, bool spare = false)
      : name_(std::move(name)), size_(size), isolated_(isolated) {
    workers_.resize(static_cast<size_t>(size + isolated + (spare ? 1 : 0)));
    for (size_t i = 0; i < workers_.size(); ++i) workers_[i].id = {name_, static_cast<int>(i)};
  }
  const std::string& name() const override { return name_; }
  int size() const override { return size_; }
  int isolated_size() const override { return isolated_; }
  bool has_spare() const override { return std::ssize(workers_) > size_ + isolated_; }
  bool shares_uploaded() const override { return false; }
  bool launches() const override { return true; }
  std::vector<WorkerProcess> Workers() const override { return workers_; }
  void Start(int index, const std::string& owner) override {
    WorkerProcess& worker = workers_[static_cast<size_t>(index)];
    worker.running = true;
    worker.owner = owner;
    worker.address = worker.id.ToString();
    ++worker.incarnation;
  }
  void Stop(int index, const std::string& reason) override { Die(index, reason); }
  void Retire(int index) override { Die(index, ""); }

  void Die(int index, const std::string& reason) {
    WorkerProcess& worker = workers_[static_cast<size_t>(index)];
    worker.running = false;
    worker.down_reason = reason;
  }

 private:
  const std::string name_;
  const int size_;
  const int isolated_;
  std::vector<WorkerProcess> workers_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_CONTROLLER_FAKES_H_
