#include "services/registry/garbage_collector.h"

#include "common/log/log.h"

namespace slipway::registry {

GarbageCollector::GarbageCollector(BlobCatalog& catalog, absl::Duration interval) {
  thread_.Start(interval, RepeatingThread::First::kAfterInterval, [&catalog] {
    const auto garbage = catalog.CollectGarbage();
    if (!garbage.ok()) {
      Log(Severity::kWarning, "garbage_collection_failed", {{"error", garbage.status()}});
    } else if (garbage->blobs > 0) {
      Log(Severity::kInfo, "blobs_deleted", {{"blobs", garbage->blobs}, {"bytes", garbage->bytes}});
    }
  });
}

}  // namespace slipway::registry
