#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_MODEL_REGISTRY_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_MODEL_REGISTRY_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/sync/mutex.h"
#include "services/training/model_registry.h"

namespace slipway::training {

/// A registry in memory. Any thread.
class FakeModelRegistry final : public ModelRegistry {
 public:
  void AddDataset(const std::string& name, const std::vector<std::string>& files) {
    MutexLock lock(mutex_);
    registry::v1::Dataset& dataset = datasets_[name];
    dataset.set_name(name);
    dataset.set_digest("sha256:" + std::string(64, 'd'));
    for (const std::string& path : files) dataset.add_files()->set_path(path);
  }
  /// Gives a dataset, made where there is none, a file with that content.
  void AddFile(const std::string& dataset, const std::string& path, const std::string& content) {
    MutexLock lock(mutex_);
    datasets_[dataset].set_name(dataset);
    registry::v1::File& file = *datasets_[dataset].add_files();
    file.set_path(path);
    file.set_size_bytes(std::ssize(content));
    file.set_digest("sha256:" + path);
    blobs_[file.digest()] = content;
  }
  void RemoveDataset(const std::string& name) {
    MutexLock lock(mutex_);
    datasets_.erase(name);
  }

  /// Points an alias at a version with these metrics, as another job would. The version's name.
  std::string AddHeldVersion(const AliasName& alias, const std::map<std::string, double>& metrics,
                             const std::string& format = "slipway") {
    MutexLock lock(mutex_);
    const std::string name =
        VersionName{alias.model, ++numbers_[alias.model.ToString()]}.ToString();
    versions_[name].mutable_metrics()->insert(metrics.begin(), metrics.end());
    versions_[name].mutable_artifact()->set_format(format);
    aliases_[alias.ToString()] = name;
    return name;
  }

  /// Gives a held version a file with that content.
  void AddVersionFile(const std::string& version, const std::string& path,
                      const std::string& content) {
    MutexLock lock(mutex_);
    registry::v1::File& file = *versions_.at(version).mutable_artifact()->add_files();
    file.set_path(path);
    file.set_digest("sha256:" + version + path);
    blobs_[file.digest()] = content;
  }

  /// The next calls of CreateVersion end so, in this order; then they succeed again. With
  /// `made`, the version is made all the same: its answer is lost.
  void FailNext(absl::Status status, bool made = false) {
    MutexLock lock(mutex_);
    failures_.emplace_back(std::move(status), made);
  }

  /// Runs before the next GetDataset answers: what else happens meanwhile.
  void MeanwhileOnGetDataset(std::function<void()> action) {
    MutexLock lock(mutex_);
    meanwhile_ = std::move(action);
  }

  /// While it is down, every call fails with kUnavailable.
  void SetDown(bool down) {
    MutexLock lock(mutex_);
    down_ = down;
  }

  /// Every version by its name.
  std::map<std::string, registry::v1::ModelVersion> versions() const {
    MutexLock lock(mutex_);
    return versions_;
  }
  std::map<std::string, std::string> aliases() const {
    MutexLock lock(mutex_);
    return aliases_;
  }

  absl::StatusOr<registry::v1::Dataset> GetDataset(const Principal& who, const DatasetName& name,
                                                   absl::Time) override {
    std::function<void()> meanwhile;
    {
      MutexLock lock(mutex_);
      meanwhile.swap(meanwhile_);
    }
    if (meanwhile) meanwhile();
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    const auto dataset = datasets_.find(name.ToString());
    if (dataset == datasets_.end() || who.tenant != name.tenant) return NotFound(name.ToString());
    return dataset->second;
  }

  absl::StatusOr<std::string> ReadBlob(const Principal&, const std::string& digest, int64_t offset,
                                       int64_t bytes, absl::Time) override {
    MutexLock lock(mutex_);
    const auto blob = blobs_.find(digest);
    if (blob == blobs_.end()) return NotFound(digest);
    const std::string& content = blob->second;
    return content.substr(std::min(static_cast<size_t>(offset), content.size()),
                          static_cast<size_t>(bytes));
  }

  absl::StatusOr<registry::v1::Blob> StoreBlob(const Principal&,
                                               absl::FunctionRef<absl::Status(PieceSink)> content,
                                               absl::Time) override {
    std::string bytes;
    RETURN_IF_ERROR(content([&](std::string_view piece) {
      bytes += piece;
      return absl::OkStatus();
    }));
    registry::v1::Blob blob;
    blob.set_digest("sha256:" + Sha256Hex(bytes));
    blob.set_size_bytes(std::ssize(bytes));
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    blobs_[blob.digest()] = std::move(bytes);
    return blob;
  }

  absl::StatusOr<registry::v1::Dataset> CreateDataset(const Principal& who, const DatasetName& name,
                                                      const registry::v1::Dataset& dataset,
                                                      absl::Time) override {
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    if (who.tenant != name.tenant) return NotFound(name.ToString());
    const auto [made, is_new] = datasets_.try_emplace(name.ToString(), dataset);
    if (!is_new) return absl::AlreadyExistsError(name.ToString() + " exists already");
    made->second.set_name(name.ToString());
    return made->second;
  }

  absl::StatusOr<registry::v1::ModelVersion> GetVersion(const Principal& who,
                                                        const VersionName& name,
                                                        absl::Time) override {
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    const auto version = versions_.find(name.ToString());
    if (version == versions_.end() || !who.MayAccess(name.model.tenant)) {
      return NotFound(name.ToString());
    }
    registry::v1::ModelVersion out = version->second;
    out.set_name(version->first);
    return out;
  }

  absl::StatusOr<registry::v1::ModelVersion> GetVersion(const Principal& who,
                                                        const AliasName& alias,
                                                        absl::Time) override {
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    const auto held = aliases_.find(alias.ToString());
    if (held == aliases_.end() || !who.MayAccess(alias.model.tenant)) {
      return NotFound(alias.ToString());
    }
    registry::v1::ModelVersion version = versions_.at(held->second);
    version.set_name(held->second);
    return version;
  }

  absl::StatusOr<std::string> CreateVersion(const Principal& who, const ModelName& model,
                                            const registry::v1::ModelVersion& version,
                                            const std::string& request_id, absl::Time) override {
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    if (who.tenant != model.tenant) return NotFound(model.ToString());
    absl::Status status;
    bool make = true;
    if (!failures_.empty()) {
      status = failures_.front().first;
      make = failures_.front().second;
      failures_.pop_front();
    }
    if (make && !by_request_.contains(request_id)) {
      const std::string name = VersionName{model, ++numbers_[model.ToString()]}.ToString();
      by_request_[request_id] = name;
      versions_[name] = version;
    }
    RETURN_IF_ERROR(status);
    return by_request_.at(request_id);
  }

  absl::Status SetAlias(const Principal&, const AliasName& alias, const std::string& version,
                        absl::Time) override {
    MutexLock lock(mutex_);
    if (down_) return absl::UnavailableError("the registry is down");
    aliases_[alias.ToString()] = version;
    return absl::OkStatus();
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string> blobs_ GUARDED_BY(mutex_);
  bool down_ GUARDED_BY(mutex_) = false;
  std::function<void()> meanwhile_ GUARDED_BY(mutex_);
  std::map<std::string, registry::v1::Dataset> datasets_ GUARDED_BY(mutex_);
  std::deque<std::pair<absl::Status, bool>> failures_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> by_request_ GUARDED_BY(mutex_);
  std::map<std::string, int64_t> numbers_ GUARDED_BY(mutex_);
  std::map<std::string, registry::v1::ModelVersion> versions_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> aliases_ GUARDED_BY(mutex_);
};

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_MODEL_REGISTRY_H_
