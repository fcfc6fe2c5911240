#ifndef SLIPWAY_TESTS_SUPPORT_EVENTUALLY_H_
#define SLIPWAY_TESTS_SUPPORT_EVENTUALLY_H_

#include <algorithm>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace slipway {

/// Looks again and again until `condition` is true; false when it is not within `limit`. For what
/// happens in another process or behind a socket: what this process can signal, common/sync waits
/// for.
inline bool Eventually(absl::FunctionRef<bool()> condition,
                       absl::Duration limit = absl::Minutes(3)) {
  const Clock& clock = Clock::Real();
  const absl::Duration end = clock.Monotonic() + limit;
  for (absl::Duration pause = absl::Milliseconds(1); !condition();
       pause = std::min(2 * pause, absl::Milliseconds(25))) {
    if (clock.Monotonic() > end) return false;
    clock.SleepFor(pause);
  }
  return true;
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_EVENTUALLY_H_
