#include "services/registry/storage_meter.h"

#include <utility>

#include "common/log/log.h"
#include "google/protobuf/util/time_util.h"
#include "services/registry/page.h"

namespace slipway::registry {
namespace {

constexpr char kHours[] = "billed_hours";
constexpr char kCursor[] = "usage_cursor";

}  // namespace

void StorageMeter::Start(absl::Duration interval) {
  thread_.Start(interval, RepeatingThread::First::kAtOnce, [this] {
    const absl::Status billed = Bill();
    if (!billed.ok()) Log(Severity::kWarning, "storage_not_billed", {{"error", billed}});
  });
}

absl::Status StorageMeter::Bill() {
  const int64_t hour = absl::ToUnixSeconds(clock_.Now()) / 3600;
  return store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t billed, tx.Counter(kHours));
    // A clock that goes back bills nothing twice.
    if (billed >= hour) return absl::OkStatus();
    RETURN_IF_ERROR(tx.SetCounter(kHours, hour));
    if (billed == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto stored, tx.StoredBytes());
    ASSIGN_OR_RETURN(int64_t cursor, tx.Counter(kCursor));
    for (const auto& [tenant, bytes] : stored) {
      v1::UsageEvent event;
      event.set_cursor(++cursor);
      // Within the last of the hours that it bills.
      *event.mutable_time() =
          google::protobuf::util::TimeUtil::SecondsToTimestamp((hour - 1) * 3600);
      event.set_tenant(tenant);
      event.set_kind("stored_byte_hours");
      event.set_quantity(static_cast<double>(bytes) * static_cast<double>(hour - billed));
      event.set_resource(TenantName{tenant}.ToString());
      RETURN_IF_ERROR(tx.InsertUsage(event));
    }
    return tx.SetCounter(kCursor, cursor);
  });
}

absl::StatusOr<v1::ListUsageEventsResponse> StorageMeter::ListUsage(const Principal& who,
                                                                    int64_t after_cursor,
                                                                    int page_size) {
  if (!who.tenant.empty()) {
    return absl::FailedPreconditionError(
        "usage of all tenants is listed for the gateway itself, on no tenant's behalf");
  }
  if (after_cursor < 0) return InvalidField("after_cursor", "must be at least 0");
  ASSIGN_OR_RETURN(const Page page, ParsePage("usage", {.size = page_size, .token = ""}));
  v1::ListUsageEventsResponse response;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(auto events, tx.ListUsage(after_cursor, page.size));
    for (v1::UsageEvent& event : events) *response.add_events() = std::move(event);
    return absl::OkStatus();
  }));
  return response;
}

}  // namespace slipway::registry
