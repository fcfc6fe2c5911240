#ifndef SLIPWAY_SERVICES_REGISTRY_GARBAGE_COLLECTOR_H_
#define SLIPWAY_SERVICES_REGISTRY_GARBAGE_COLLECTOR_H_

#include "absl/time/time.h"
#include "common/sync/repeating_thread.h"
#include "services/registry/blob_catalog.h"

namespace slipway::registry {

/// Runs BlobCatalog::CollectGarbage now and then, on a thread of its own. A run that fails is
/// logged and tried again the next time.
class GarbageCollector {
 public:
  /// `catalog` outlives this.
  GarbageCollector(BlobCatalog& catalog, absl::Duration interval);

 private:
  RepeatingThread thread_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_GARBAGE_COLLECTOR_H_
