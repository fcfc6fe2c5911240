#include "services/inference/response_cache/response_cache.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <list>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "services/inference/batching/batch_tensors.h"

namespace slipway::worker {
namespace {

struct KeyHash {
  size_t operator()(const ResponseCache::Key& key) const {
    size_t hash;
    std::memcpy(&hash, key.data(), sizeof(hash));
    return hash;
  }
};

int64_t BytesOf(const TensorBatch& outputs) {
  int64_t bytes = ResponseCache::kEntryBytes;
  for (const Tensor& tensor : outputs) bytes += static_cast<int64_t>(tensor.data().size());
  return bytes;
}

}  // namespace

// What one cache holds.
struct ResponseCache::Space {
  struct Entry {
    Key key;
    std::shared_ptr<const TensorBatch> outputs;
    int64_t bytes = 0;
    absl::Duration expires;
    absl::Duration used;
  };
  using Entries = std::list<Entry>;

  ResponseCacheSettings settings;
  // The one that was used last comes first.
  Entries entries;
  std::unordered_map<Key, Entries::iterator, KeyHash> by_key;
  int64_t bytes = 0;
};

// One lock for all caches of a tenant: it is held for a look into a map, never for a copy.
class ResponseCache::Tenant {
 public:
  explicit Tenant(int64_t max_bytes) : max_bytes_(max_bytes) {}

  Space& Add(const ResponseCacheSettings& settings) {
    MutexLock lock(mutex_);
    Space& space = spaces_.emplace_back();
    space.settings = settings;
    return space;
  }

  void Remove(const Space& space) {
    MutexLock lock(mutex_);
    bytes_ -= space.bytes;
    spaces_.remove_if([&](const Space& each) { return &each == &space; });
  }

  std::shared_ptr<const TensorBatch> Find(Space& space, const Key& key, absl::Duration now) {
    MutexLock lock(mutex_);
    const auto found = space.by_key.find(key);
    if (found == space.by_key.end()) return nullptr;
    const Space::Entries::iterator entry = found->second;
    if (entry->expires <= now) {
      Erase(space, entry);
      return nullptr;
    }
    entry->used = now;
    space.entries.splice(space.entries.begin(), space.entries, entry);
    return entry->outputs;
  }

  bool HasRoomFor(const Space& space, int64_t bytes) const {
    return bytes <= std::min(space.settings.max_bytes, max_bytes_);
  }

  // `entry` fits where nothing else is.
  void Keep(Space& space, Space::Entry entry) {
    MutexLock lock(mutex_);
    // Two calls have computed it side by side.
    const auto known = space.by_key.find(entry.key);
    if (known != space.by_key.end()) Erase(space, known->second);
    while (space.bytes + entry.bytes > space.settings.max_bytes) EraseOldest(space);
    while (bytes_ + entry.bytes > max_bytes_) EraseOldest(SpaceOfOldest());
    space.bytes += entry.bytes;
    bytes_ += entry.bytes;
    space.entries.push_front(std::move(entry));
    space.by_key[space.entries.front().key] = space.entries.begin();
  }

  int64_t BytesIn(const Space& space) {
    MutexLock lock(mutex_);
    return space.bytes;
  }

 private:
  void Erase(Space& space, Space::Entries::iterator entry) REQUIRES(mutex_) {
    space.bytes -= entry->bytes;
    bytes_ -= entry->bytes;
    space.by_key.erase(entry->key);
    space.entries.erase(entry);
  }
  void EraseOldest(Space& space) REQUIRES(mutex_) { Erase(space, std::prev(space.entries.end())); }
  // Of those that hold anything.
  Space& SpaceOfOldest() REQUIRES(mutex_) {
    Space* oldest = nullptr;
    for (Space& space : spaces_) {
      if (space.entries.empty()) continue;
      if (oldest == nullptr || space.entries.back().used < oldest->entries.back().used) {
        oldest = &space;
      }
    }
    return *oldest;
  }

  const int64_t max_bytes_;
  Mutex mutex_;
  // A tenant has few.
  std::list<Space> spaces_ GUARDED_BY(mutex_);
  int64_t bytes_ GUARDED_BY(mutex_) = 0;
};

ResponseCache::ResponseCache(std::shared_ptr<Tenant> tenant, Space& space, const Clock& clock)
    : tenant_(std::move(tenant)), space_(space), clock_(clock) {}

ResponseCache::~ResponseCache() { tenant_->Remove(space_); }

ResponseCache::Key ResponseCache::KeyOf(const TensorBatch& inputs) {
  Sha256 hash;
  for (const Tensor& tensor : inputs) {
    const auto dims = std::as_bytes(std::span(tensor.shape().dims()));
    hash.Update({reinterpret_cast<const char*>(dims.data()), dims.size()});
    hash.Update(tensor.data().view());
  }
  return hash.Finish();
}

std::shared_ptr<const TensorBatch> ResponseCache::Find(const Key& key) {
  return tenant_->Find(space_, key, clock_.Monotonic());
}

void ResponseCache::Keep(const Key& key, const TensorBatch& outputs) {
  const int64_t bytes = BytesOf(outputs);
  if (!tenant_->HasRoomFor(space_, bytes)) return;
  const absl::Duration now = clock_.Monotonic();
  tenant_->Keep(space_, {.key = key,
                         .outputs = std::make_shared<const TensorBatch>(Copy(outputs)),
                         .bytes = bytes,
                         .expires = now + space_.settings.time_to_live,
                         .used = now});
}

int64_t ResponseCache::bytes() const { return tenant_->BytesIn(space_); }

std::unique_ptr<ResponseCache> ResponseCaches::Make(const std::string& tenant,
                                                    const ResponseCacheSettings& settings) {
  if (settings.max_bytes == 0) return nullptr;
  std::shared_ptr<ResponseCache::Tenant> shared;
  {
    MutexLock lock(mutex_);
    std::erase_if(tenants_, [](const auto& known) { return known.second.expired(); });
    std::weak_ptr<ResponseCache::Tenant>& known = tenants_[tenant];
    shared = known.lock();
    if (shared == nullptr) {
      shared = std::make_shared<ResponseCache::Tenant>(max_bytes_per_tenant_);
      known = shared;
    }
  }
  ResponseCache::Space& space = shared->Add(settings);
  return std::unique_ptr<ResponseCache>(new ResponseCache(std::move(shared), space, clock_));
}

}  // namespace slipway::worker
