#include "services/gateway/limits/shared_meter.h"

#include <algorithm>

#include "absl/time/civil_time.h"
#include "slipway/gateway/v1/limit_state.pb.h"

namespace slipway::gateway {
namespace {

// By then the ledger has what was used until now, and the journal of a gateway that was killed.
constexpr absl::Duration kLedgerPatience = absl::Minutes(1);

bool IsWindowed(Quantity quantity) {
  return quantity == Quantity::kRequests || quantity == Quantity::kTokens;
}

int64_t SlotOf(absl::Time time) { return (time - absl::UnixEpoch()) / kSlotTime; }

// When what was used in a slot no longer counts.
absl::Time EndOf(int64_t slot) { return absl::UnixEpoch() + (slot + 1) * kSlotTime + kWindow; }

absl::Time PeriodEnd(Period period, absl::Time now) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  if (period == Period::kDay) return absl::FromCivil(absl::ToCivilDay(now, utc) + 1, utc);
  return absl::FromCivil(absl::ToCivilMonth(now, utc) + 1, utc);
}

template <class List, class Predicate>
void RemoveIf(List& list, Predicate predicate) {
  list.erase(std::remove_if(list.begin(), list.end(), predicate), list.end());
}

// When a lease no longer counts: until it ends it may have been used, and what was used of a limit
// a minute counts for the minute after that.
absl::Time EndOf(const v1::MeterState::Lease& lease, Quantity quantity) {
  return absl::FromUnixMicros(lease.end_micros()) +
         (IsWindowed(quantity) ? kWindow : absl::ZeroDuration());
}

// Takes out the replica's own lease, and those that have run out. True where something was taken
// from another replica.
bool DropLeases(v1::MeterState& state, const std::string& replica, Quantity quantity,
                absl::Time now) {
  RemoveIf(*state.mutable_leases(), [&](const auto& lease) { return lease.replica() == replica; });
  bool taken = false;
  RemoveIf(*state.mutable_leases(), [&](const auto& lease) {
    const bool over = EndOf(lease, quantity) <= now;
    taken = taken || (over && lease.amount() > 0);
    return over;
  });
  return taken;
}

int64_t LastReport(const v1::MeterState& state, const std::string& replica) {
  for (const auto& lease : state.leases()) {
    if (lease.replica() == replica) return lease.report();
  }
  return 0;
}

void BookInWindow(v1::MeterState& state, int64_t used, absl::Time now) {
  RemoveIf(*state.mutable_slots(), [&](const auto& slot) { return EndOf(slot.index()) <= now; });
  if (used == 0) return;
  const int64_t index = SlotOf(now);
  const int last = state.slots_size() - 1;
  // A replica of an older transaction may come a little late: its use counts from the newest slot.
  auto& slot = last >= 0 && state.slots(last).index() >= index ? *state.mutable_slots(last)
                                                               : *state.add_slots();
  if (slot.index() == 0) slot.set_index(index);
  slot.set_used(slot.used() + used);
}

int64_t Used(const v1::MeterState& state, const LeaseRequest& request) {
  int64_t used = request.quantity == Quantity::kConcurrency ? request.held : state.spent();
  for (const auto& slot : state.slots()) used += slot.used();
  return used;
}

// What the others may be taking on credit: each goes by what was left when it last looked, which is
// not longer ago than a second.
int64_t OthersCredit(v1::MeterState& state, const LeaseRequest& request, int replicas,
                     absl::Time now) {
  const int64_t second = absl::ToUnixSeconds(now);
  // After this they take it that nobody uses the limit.
  const absl::Duration counts = IsWindowed(request.quantity) ? kWindow : kLeaseTime;
  if (absl::Seconds(second - state.second()) >= counts && request.quantity != Quantity::kBudget) {
    state.set_left(request.limit);
  }
  if (state.second() != second) {
    state.set_most_left_before(state.second() == second - 1 ? state.most_left() : state.left());
    state.set_most_left(state.left());
    state.set_second(second);
  }
  return (replicas - 1) * CreditOf(std::max(state.most_left(), state.most_left_before()), replicas);
}

}  // namespace

int64_t CreditOf(int64_t left, int replicas) {
  if (left <= 0) return 0;
  return std::max<int64_t>(1, left / (2 * replicas - 1));
}

absl::Time PeriodStart(Period period, absl::Time now) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  if (period == Period::kDay) return absl::FromCivil(absl::ToCivilDay(now, utc), utc);
  return absl::FromCivil(absl::ToCivilMonth(now, utc), utc);
}

std::optional<LeaseAnswer> Share(v1::MeterState& state, const std::string& replica,
                                 const LeaseRequest& request, int replicas, absl::Time now,
                                 std::optional<int64_t> ledger_spent) {
  v1::MeterState next = state;
  const bool is_new = request.report > LastReport(state, replica);
  const bool one_is_gone = DropLeases(next, replica, request.quantity, now);
  const int64_t used = is_new ? request.used : 0;

  LeaseAnswer answer;
  if (request.quantity == Quantity::kBudget) {
    const int64_t start = absl::ToUnixMicros(PeriodStart(request.period, now));
    const bool begins = next.period_start_micros() != start;
    const int64_t check = next.check_ledger_micros();
    if (!ledger_spent && (begins || (check != 0 && absl::ToUnixMicros(now) >= check))) {
      return std::nullopt;
    }
    if (begins) {
      next.set_spent(0);
      next.set_left(request.limit);
    }
    // It has some of what is reported now, and lacks the last of what the others used.
    next.set_spent(std::max(next.spent() + used, ledger_spent.value_or(0)));
    if (ledger_spent) next.set_check_ledger_micros(0);
    if (one_is_gone || begins) {
      next.set_check_ledger_micros(absl::ToUnixMicros(now + kLedgerPatience));
    }
    next.set_period_start_micros(start);
    answer.frees_in = PeriodEnd(request.period, now) - now;
  } else if (IsWindowed(request.quantity)) {
    BookInWindow(next, used, now);
  }

  int64_t left = request.limit - Used(next, request);
  for (const auto& lease : next.leases()) {
    left -= lease.amount();
    if (request.quantity == Quantity::kBudget || lease.amount() == 0) continue;
    answer.frees_in = std::min(answer.frees_in, EndOf(lease, request.quantity) - now);
  }
  const int64_t others_credit = OthersCredit(next, request, replicas, now);
  answer.granted = std::clamp<int64_t>(left - others_credit, 0, std::max<int64_t>(request.want, 0));
  answer.left = left - answer.granted;
  if (next.slots_size() > 0) {
    answer.frees_in = std::min(answer.frees_in, EndOf(next.slots(0).index()) - now);
  }

  v1::MeterState::Lease& lease = *next.add_leases();
  lease.set_replica(replica);
  lease.set_amount(answer.granted + request.held);
  lease.set_end_micros(absl::ToUnixMicros(now + kLeaseTime));
  lease.set_report(std::max(request.report, LastReport(state, replica)));
  next.set_left(answer.left);
  next.set_most_left(std::max(next.most_left(), answer.left));
  state = std::move(next);
  return answer;
}

}  // namespace slipway::gateway
