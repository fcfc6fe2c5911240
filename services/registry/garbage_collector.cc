#include "services/registry/garbage_collector.h"

#include "common/log/log.h"

namespace slipway::registry {

GarbageCollector::GarbageCollector(BlobCatalog& catalog, absl::Duration interval)
    : catalog_(catalog),
      interval_(interval),
      thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

GarbageCollector::~GarbageCollector() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  stopped_.SignalAll();
}

void GarbageCollector::Loop(const std::stop_token& stop) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (stop.stop_requested()) return;
      // A wake too early only collects too early.
      stopped_.WaitFor(mutex_, absl::ToChronoNanoseconds(interval_));
      if (stop.stop_requested()) return;
    }
    const auto garbage = catalog_.CollectGarbage();
    if (!garbage.ok()) {
      Log(Severity::kWarning, "garbage_collection_failed", {{"error", garbage.status()}});
    } else if (garbage->blobs > 0) {
      Log(Severity::kInfo, "blobs_deleted", {{"blobs", garbage->blobs}, {"bytes", garbage->bytes}});
    }
  }
}

}  // namespace slipway::registry
