#include "services/gateway/limits/meter.h"

#include <algorithm>
#include <cmath>

namespace slipway::gateway {
namespace {

// A lease is for what is used in a little more than the time between two requests.
constexpr double kLeaseSeconds = 1.5 * 0.25;
// Over so long the rate of demand is averaged.
constexpr absl::Duration kRateTime = absl::Milliseconds(500);
// When there is room for all, but it is not leased to this replica yet.
constexpr absl::Duration kSoon = absl::Milliseconds(50);
// When it is others who must give back.
constexpr absl::Duration kLater = absl::Seconds(1);

}  // namespace

void Meter::Set(int64_t limit) {
  left_ += limit - limit_;
  limit_ = limit;
}

int64_t Meter::Lease(const Surroundings& around) const {
  return around.now < lease_end_ ? std::max<int64_t>(lease_, 0) : 0;
}

int64_t Meter::LeftForAll(absl::Duration now) const {
  if (now < frees_at_) return left_;
  if (quantity_ == Quantity::kBudget) return limit_;
  const absl::Duration counts = kLeaseTime + (windowed() ? kWindow + kSlotTime : kSlotTime);
  if (now >= seen_ + counts) return limit_;
  // By now there is more, but how much is not known before it is asked for.
  return std::max<int64_t>(left_, 1);
}

int64_t Meter::EvenShare(const Surroundings& around) {
  const int64_t part = limit_ / around.replicas;
  if (quantity_ == Quantity::kConcurrency) return std::max<int64_t>(part, 1) - held_;
  if (quantity_ == Quantity::kBudget) return LeftForAll(around.now) / around.replicas - ahead_;
  if (share_at_ < around.looked) {
    share_at_ = around.looked;
    share_ = 1;
  }
  share_ += static_cast<double>(limit_) / around.replicas *
            absl::FDivDuration(around.now - share_at_, kWindow);
  share_ = std::min(share_, std::max(1.0, part / 6.0));
  share_at_ = around.now;
  return static_cast<int64_t>(share_);
}

bool Meter::MayTake(int64_t amount, const Surroundings& around) {
  const int64_t rest = amount - Lease(around);
  if (rest <= 0) return true;
  if (around.blind()) return rest <= EvenShare(around);
  const int64_t left = LeftForAll(around.now);
  if (!around.new_here && rest <= CreditOf(left, around.replicas) - ahead_) return true;
  return ahead_ == 0 && rest <= left;
}

void Meter::Take(int64_t amount, const Surroundings& around) {
  if (amount == 0) return;
  since_sent_ += amount;
  if (quantity_ == Quantity::kConcurrency) {
    // What was let in before there was a limit is not counted, and comes back all the same.
    held_ = std::max<int64_t>(held_ + amount, 0);
    peak_ = std::max(peak_, held_);
  } else {
    used_ += amount;
  }
  if (amount < 0) {
    const int64_t back = std::min(-amount, ahead_);
    ahead_ -= back;
    lease_ += -amount - back;
    return;
  }
  demand_ += amount;
  const int64_t leased = std::min(amount, Lease(around));
  lease_ -= leased;
  ahead_ += amount - leased;
  if (around.blind()) share_ -= static_cast<double>(amount - leased);
  hungry_ = hungry_ || (around.replicas > 1 && (amount > leased || lease_ < granted_ / 2));
}

void Meter::CountRefused(int64_t amount, const Surroundings& around) {
  demand_ += amount;
  hungry_ = hungry_ || LeftForAll(around.now) > 0;
}

int64_t Meter::Left(const Surroundings& around) const {
  return std::max<int64_t>(Lease(around) + LeftForAll(around.now) - ahead_, 0);
}

absl::Duration Meter::RetryIn(const Surroundings& around) const {
  if (LeftForAll(around.now) > 0 && !around.blind()) return kSoon;
  if (quantity_ == Quantity::kConcurrency) return kLater;
  return std::max(std::min(FreesIn(around), kWindow), kSoon);
}

absl::Duration Meter::FreesIn(const Surroundings& around) const {
  return std::max(frees_at_ - around.now, absl::ZeroDuration());
}

int64_t Meter::Want(const Surroundings& around) {
  if (around.new_here) return 0;
  if (quantity_ == Quantity::kConcurrency) {
    return demand_ == 0 ? 0 : peak_ + peak_ / 2 + 1 - held_;
  }
  const absl::Duration time = std::min(around.now - asked_, kRateTime / 2);
  if (time > absl::ZeroDuration()) {
    rate_ += (static_cast<double>(demand_) / absl::ToDoubleSeconds(time) - rate_) *
             absl::FDivDuration(time, kRateTime);
  }
  const auto want = static_cast<int64_t>(std::min(rate_ * kLeaseSeconds, double(limit_)));
  return demand_ == 0 ? want : want + 1;
}

std::optional<LeaseRequest> Meter::MakeRequest(const Surroundings& around) {
  if (under_way_) return std::nullopt;
  if (!sent_) {
    const bool renews = held_ > 0 && lease_end_ - around.now < kLeaseTime / 2;
    const bool frees = left_ < limit_ && around.now >= frees_at_;
    if (idle() && !renews && !frees) return std::nullopt;
    sent_ = LeaseRequest{.subject = {},
                         .quantity = quantity_,
                         .limit = limit_,
                         .period = {},
                         .report = ++report_,
                         .used = used_,
                         .held = held_,
                         .want = Want(around)};
    asked_ = around.now;
    used_ = demand_ = since_sent_ = 0;
    peak_ = held_;
  }
  hungry_ = false;
  under_way_ = true;
  return sent_;
}

void Meter::Settle(const std::optional<LeaseAnswer>& answer, absl::Duration asked) {
  under_way_ = false;
  if (!answer) return;
  granted_ = answer->granted;
  lease_ = granted_ - since_sent_;
  ahead_ = std::max<int64_t>(-lease_, 0);
  lease_ = std::max<int64_t>(lease_, 0);
  lease_end_ = asked + kLeaseTime;
  Look(answer->left, asked + answer->frees_in, asked);
  sent_.reset();
}

void Meter::Look(int64_t left, absl::Duration frees_at, absl::Duration seen) {
  left_ = left;
  frees_at_ = frees_at;
  seen_ = seen;
}

bool Meter::asleep() const { return idle() && held_ == 0 && !(windowed() && left_ < limit_); }

bool Meter::idle() const {
  return !sent_ && used_ == 0 && demand_ == 0 && granted_ == 0 && since_sent_ == 0;
}

}  // namespace slipway::gateway
