#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_OBJECT_STORE_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_OBJECT_STORE_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "services/training/objects/object_stores.h"

namespace slipway::training {

/// Objects in memory, which are read in small pieces. Any thread.
class FakeObjectStore final : public ObjectStore {
 public:
  void Put(const std::string& key, std::string content) {
    MutexLock lock(mutex_);
    objects_[key] = std::move(content);
  }
  /// The next reads fail with these, in this order.
  void FailReads(std::vector<absl::Status> statuses) {
    MutexLock lock(mutex_);
    failures_ = std::move(statuses);
  }
  /// Runs between the first and the second piece of the next read.
  void WhileReading(std::function<void()> meanwhile) {
    MutexLock lock(mutex_);
    meanwhile_ = std::move(meanwhile);
  }
  int reads() const {
    MutexLock lock(mutex_);
    return reads_;
  }

  absl::StatusOr<std::vector<StoredObject>> List(const std::string& key, size_t most) override {
    MutexLock lock(mutex_);
    std::vector<StoredObject> found;
    if (const auto object = objects_.find(key); object != objects_.end()) {
      return std::vector<StoredObject>{{key, std::ssize(object->second)}};
    }
    for (const auto& [name, content] : objects_) {
      if (name.starts_with(key + "/")) found.push_back({name, std::ssize(content)});
    }
    if (found.size() > most) return absl::ResourceExhaustedError("too many objects");
    return found;
  }

  absl::Status Read(const std::string& key, int64_t offset, Sink sink) override {
    std::string content;
    std::function<void()> meanwhile;
    {
      MutexLock lock(mutex_);
      ++reads_;
      if (!failures_.empty()) {
        const absl::Status failure = failures_.front();
        failures_.erase(failures_.begin());
        return failure;
      }
      const auto object = objects_.find(key);
      if (object == objects_.end()) return absl::NotFoundError(key);
      content = object->second;
      meanwhile.swap(meanwhile_);
    }
    const auto half = std::max<size_t>(1, content.size() / 2);
    for (auto at = static_cast<size_t>(offset); at < content.size(); at += half) {
      RETURN_IF_ERROR(sink(std::string_view(content).substr(at, half)));
      if (meanwhile) std::exchange(meanwhile, nullptr)();
    }
    MutexLock lock(mutex_);
    return objects_[key] == content ? absl::OkStatus() : absl::AbortedError("it was changed");
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string> objects_ GUARDED_BY(mutex_);
  std::vector<absl::Status> failures_ GUARDED_BY(mutex_);
  std::function<void()> meanwhile_ GUARDED_BY(mutex_);
  int reads_ GUARDED_BY(mutex_) = 0;
};

/// One store, "lake", of which `grants` says who may read what; `store` is it.
inline ObjectStores FakeStores(std::vector<ObjectGrant> grants, FakeObjectStore*& store) {
  auto made = std::make_unique<FakeObjectStore>();
  store = made.get();
  std::vector<ObjectStores::Store> stores;
  stores.push_back({"lake", std::move(grants), std::move(made)});
  return ObjectStores(std::move(stores));
}

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_OBJECT_STORE_H_
