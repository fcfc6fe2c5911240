#ifndef SLIPWAY_TESTS_SUPPORT_GATEWAY_LIMITS_REPLICA_H_
#define SLIPWAY_TESTS_SUPPORT_GATEWAY_LIMITS_REPLICA_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/metrics/metrics.h"
#include "common/time/clock.h"
#include "services/gateway/limits/admission.h"
#include "services/gateway/limits/lease_store.h"

namespace slipway::gateway {

/// What one gateway does of limits, step by step in a test's time: an Admission, and its exchanges
/// with the store as LeaseKeeper makes them, each of which takes `latency`. One thread.
class LimitsReplica {
 public:
  LimitsReplica(std::string name, LeaseStore& store, const Clock& clock, absl::Duration latency)
      : name_(std::move(name)),
        store_(store),
        clock_(clock),
        latency_(latency),
        metrics_("gateway"),
        admission_(absl::Minutes(5), metrics_, clock) {
    admission_.OnHungry([this] { hungry_ = true; });
    Look();
  }

  Admission& admission() { return admission_; }

  /// Does what is due now.
  void Step() {
    const absl::Duration now = clock_.Monotonic();
    if (flight_) {
      if (now < flight_->answered) return;
      for (size_t i = 0; i < flight_->pending.size(); ++i) {
        Account::Pending& each = flight_->pending[i];
        each.account->Settle(
            each.request.quantity,
            flight_->answers.ok() ? std::optional((*flight_->answers)[i]) : std::nullopt,
            flight_->asked);
      }
      flight_.reset();
    }
    const bool tick = now >= next_tick_;
    if (!tick && !(hungry_ && now >= next_ask_)) return;
    hungry_ = false;
    if (tick) {
      Look();
      next_tick_ = now + absl::Milliseconds(250);
    }
    next_ask_ = now + absl::Milliseconds(20);
    Flight flight{.asked = now,
                  .answered = now + latency_,
                  .pending = admission_.Collect(/*hungry_only=*/!tick),
                  .answers = std::vector<LeaseAnswer>()};
    if (flight.pending.empty()) return;
    std::vector<LeaseRequest> requests;
    for (const Account::Pending& each : flight.pending) requests.push_back(each.request);
    flight.answers = store_.Exchange(name_, replicas_, requests);
    flight_ = std::move(flight);
  }

  void Look() {
    const absl::Duration now = clock_.Monotonic();
    store_.Register(name_).IgnoreError();
    const auto look = store_.Look(cursor_);
    if (!look.ok()) return;
    cursor_ = look->cursor;
    replicas_ = look->replicas;
    admission_.Apply(*look, now);
  }

 private:
  struct Flight {
    absl::Duration asked;
    absl::Duration answered;
    std::vector<Account::Pending> pending;
    absl::StatusOr<std::vector<LeaseAnswer>> answers;
  };

  const std::string name_;
  LeaseStore& store_;
  const Clock& clock_;
  const absl::Duration latency_;
  Metrics metrics_;
  Admission admission_;
  LimitsCursor cursor_;
  int replicas_ = 1;
  bool hungry_ = false;
  absl::Duration next_tick_ = absl::ZeroDuration();
  absl::Duration next_ask_ = absl::ZeroDuration();
  std::optional<Flight> flight_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_SUPPORT_GATEWAY_LIMITS_REPLICA_H_
