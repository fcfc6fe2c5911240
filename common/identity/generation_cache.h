#ifndef SLIPWAY_COMMON_IDENTITY_GENERATION_CACHE_H_
#define SLIPWAY_COMMON_IDENTITY_GENERATION_CACHE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace slipway {

/// A bounded map from texts that forgets what has not been asked for lately: two generations of
/// at most `capacity` entries; when the young one is full, the old one goes and the young one
/// becomes old. A hit costs one look-up and allocates nothing. One thread at a time.
template <class Value>
class GenerationCache {
 public:
  explicit GenerationCache(size_t capacity) : capacity_(capacity) {}

  /// Null where it is not there. Valid until the next call that is not const.
  Value* Find(std::string_view key) {
    if (const auto found = young_.find(key); found != young_.end()) return &found->second;
    const auto found = old_.find(key);
    if (found == old_.end()) return nullptr;
    // A node moves without allocating.
    auto node = old_.extract(found);
    MakeRoom();
    return &young_.insert(std::move(node)).position->second;
  }

  void Insert(std::string key, Value value) {
    old_.erase(key);
    MakeRoom();
    young_.insert_or_assign(std::move(key), std::move(value));
  }

  void Clear() {
    young_.clear();
    old_.clear();
  }

  size_t size() const { return young_.size() + old_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };
  using Map = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;

  void MakeRoom() {
    if (young_.size() < capacity_) return;
    old_ = std::move(young_);
    young_ = Map();
  }

  const size_t capacity_;
  Map young_;
  Map old_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_GENERATION_CACHE_H_
