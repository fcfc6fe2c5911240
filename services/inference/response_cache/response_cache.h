#ifndef SLIPWAY_SERVICES_INFERENCE_RESPONSE_CACHE_RESPONSE_CACHE_H_
#define SLIPWAY_SERVICES_INFERENCE_RESPONSE_CACHE_RESPONSE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/crypto/hash.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// What a deployment lets its models keep. A value.
struct ResponseCacheSettings {
  /// On each worker; 0: nothing is kept.
  int64_t max_bytes = 0;
  /// Since the answer was computed.
  absl::Duration time_to_live = absl::InfiniteDuration();

  bool operator==(const ResponseCacheSettings&) const = default;
};

/// What one model version answered for one deployment, by the inputs: all outputs as the model gave
/// them, so that a call may choose among them, or ask for classes, as if the model had run. What
/// was used longest ago goes first. Dies with its model. Any thread.
class ResponseCache {
 public:
  using Key = Sha256Bytes;

  /// Bytes that an answer counts beside its tensors'.
  static constexpr int64_t kEntryBytes = 256;

  ~ResponseCache();

  /// SHA-256 over the shapes and elements. The inputs fit the model's signature, which fixes their
  /// names, order and types: how a request wrote its elements makes no difference.
  static Key KeyOf(const TensorBatch& inputs);

  /// Null where nothing is kept, or not any more.
  std::shared_ptr<const TensorBatch> Find(const Key& key);

  /// Copies `outputs`, unless they take more than there may be at all.
  void Keep(const Key& key, const TensorBatch& outputs);

  /// What is kept now.
  int64_t bytes() const;

 private:
  friend class ResponseCaches;
  class Tenant;
  struct Space;
  ResponseCache(std::shared_ptr<Tenant> tenant, Space& space, const Clock& clock);

  const std::shared_ptr<Tenant> tenant_;
  // One of the tenant's, for this cache alone.
  Space& space_;
  const Clock& clock_;
};

/// All caches of a worker. Those of one tenant share a bound, and what any of them used longest ago
/// makes room; tenants share nothing. Any thread.
class ResponseCaches {
 public:
  /// The clock outlives the caches.
  ResponseCaches(int64_t max_bytes_per_tenant, const Clock& clock)
      : max_bytes_per_tenant_(max_bytes_per_tenant), clock_(clock) {}

  /// Null where the settings keep nothing. May outlive this object.
  std::unique_ptr<ResponseCache> Make(const std::string& tenant,
                                      const ResponseCacheSettings& settings);

 private:
  const int64_t max_bytes_per_tenant_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<ResponseCache::Tenant>> tenants_ GUARDED_BY(mutex_);
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_RESPONSE_CACHE_RESPONSE_CACHE_H_
