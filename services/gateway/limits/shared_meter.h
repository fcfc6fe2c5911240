#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_SHARED_METER_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_SHARED_METER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "services/gateway/limits/limits.h"

namespace slipway::gateway {

namespace v1 {
class MeterState;
}

/// How long a lease is good for. A replica that is killed leaves nothing behind after this and, of
/// a limit a minute, the minute in which it may have used its lease.
inline constexpr absl::Duration kLeaseTime = absl::Seconds(10);
/// In what a limit a minute is counted. It holds for 60 s and one of these at most.
inline constexpr absl::Duration kSlotTime = absl::Milliseconds(500);
inline constexpr absl::Duration kWindow = absl::Seconds(60);
/// For so long a replica goes by what was left when it last looked. The shared meter keeps free
/// what was left for twice this and more.
inline constexpr absl::Duration kLookTime = absl::Milliseconds(500);

/// Of `left`, what each of `replicas` may take without a lease; together they leave room for one
/// more such part.
int64_t CreditOf(int64_t left, int replicas);

/// What a replica says of one limit, and asks for.
struct LeaseRequest {
  std::string subject;  ///< whose: "tenants/acme"
  Quantity quantity = Quantity::kRequests;
  int64_t limit = 0;
  Period period = Period::kMonth;
  int64_t report = 0;  ///< Grows with each report; sent again, it is the same report.
  int64_t used = 0;    ///< Since the last report.
  int64_t held = 0;    ///< Concurrency: under way now.
  int64_t want = 0;    ///< To lease, beyond what is held. The lease before this goes back.

  bool operator==(const LeaseRequest&) const = default;
};

struct LeaseAnswer {
  int64_t granted = 0;
  /// For everybody, after this lease. Below 0 where more was used than there is.
  int64_t left = 0;
  /// Until more is left by the passing of time alone; infinite where that brings none.
  absl::Duration frees_in = absl::InfiniteDuration();
};

/// One limit, shared: takes a replica's report and gives it a lease. A pure function of the state,
/// which it changes, and of the store's `now`. `replicas`: how many there are, this one too.
///
/// Of a budget, nothing (and no change) where it has to know what the ledger says was spent from
/// PeriodStart() on: for a state that knows nothing yet of this period, and some time after the
/// lease of a replica that is gone has run out, since only its journal knows what that one had
/// used.
std::optional<LeaseAnswer> Share(v1::MeterState& state, const std::string& replica,
                                 const LeaseRequest& request, int replicas, absl::Time now,
                                 std::optional<int64_t> ledger_spent);

/// When the period that `now` lies in has begun, in UTC.
absl::Time PeriodStart(Period period, absl::Time now);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_SHARED_METER_H_
