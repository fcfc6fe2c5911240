#ifndef SLIPWAY_SERVICES_REGISTRY_STORAGE_METER_H_
#define SLIPWAY_SERVICES_REGISTRY_STORAGE_METER_H_

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/sync/repeating_thread.h"
#include "common/time/clock.h"
#include "services/registry/registry_store.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::registry {

/// Bills stored bytes: when an hour (UTC) is over, each tenant is billed what it has at that moment
/// for all hours since the last time, once, however many processes look and however often. While
/// the registry is away nothing changes, so that the hours of its absence are billed alike. Any
/// thread.
class StorageMeter {
 public:
  /// Both outlive this.
  StorageMeter(RegistryStore& store, const Clock& clock) : store_(store), clock_(clock) {}

  /// Looks every `interval`, on a thread of its own.
  void Start(absl::Duration interval);

  /// Bills the hours that are over. The first time there are none.
  absl::Status Bill();

  /// The events after a cursor, oldest first. For the gateway itself, on no tenant's behalf.
  absl::StatusOr<v1::ListUsageEventsResponse> ListUsage(const Principal& who, int64_t after_cursor,
                                                        int page_size);

 private:
  RegistryStore& store_;
  const Clock& clock_;
  RepeatingThread thread_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_STORAGE_METER_H_
