#include "services/gateway/limits/account.h"

#include <algorithm>

namespace slipway::gateway {
namespace {

void SayLeft(const Meter& meter, const Surroundings& around, RateLeft& rate) {
  const int64_t left = meter.Left(around);
  if (rate.limit != 0 && rate.left <= left) return;
  rate = {
      .limit = meter.limit(), .left = left, .resets_in = std::min(meter.FreesIn(around), kWindow)};
}

}  // namespace

void Account::Set(const Limits& limits) {
  MutexLock lock(mutex_);
  for (const Quantity quantity : kQuantities) {
    const int64_t limit = limits.most[quantity];
    std::optional<Meter>& meter = this->meter(quantity);
    if (limit == 0) {
      meter.reset();
    } else if (meter && (quantity != Quantity::kBudget || limits.period == period_)) {
      meter->Set(limit);
    } else {
      meter.emplace(quantity, limit);
    }
  }
  period_ = limits.period;
}

void Account::Wake(Taken& taken) {
  for (const std::optional<Meter>& meter : meters_) {
    taken.hungry = taken.hungry || (meter && meter->hungry());
  }
  taken.woken = !awake_;
  awake_ = true;
}

Account::Taken Account::Take(const Amounts& amounts, const Surroundings& around, RateLeft& requests,
                             RateLeft& tokens) {
  Taken taken;
  MutexLock lock(mutex_);
  for (const Quantity quantity : kQuantities) {
    std::optional<Meter>& meter = this->meter(quantity);
    if (!meter || amounts[quantity] == 0 || meter->MayTake(amounts[quantity], around)) continue;
    meter->CountRefused(amounts[quantity], around);
    taken.refusal = {quantity, meter->limit(), amounts[quantity], meter->RetryIn(around)};
    break;
  }
  if (!taken.refusal) {
    for (const Quantity quantity : kQuantities) {
      if (meter(quantity)) meter(quantity)->Take(amounts[quantity], around);
    }
  }
  if (const auto& meter = this->meter(Quantity::kRequests)) SayLeft(*meter, around, requests);
  if (const auto& meter = this->meter(Quantity::kTokens)) SayLeft(*meter, around, tokens);
  Wake(taken);
  return taken;
}

Account::Taken Account::Adjust(const Amounts& change, const Surroundings& around) {
  Taken taken;
  MutexLock lock(mutex_);
  for (const Quantity quantity : kQuantities) {
    if (meter(quantity)) meter(quantity)->Take(change[quantity], around);
  }
  Wake(taken);
  return taken;
}

void Account::Collect(const std::shared_ptr<Account>& account, bool hungry_only,
                      const Surroundings& around, std::vector<Pending>& out) {
  MutexLock lock(account->mutex_);
  for (const Quantity quantity : kQuantities) {
    std::optional<Meter>& meter = account->meter(quantity);
    if (!meter || (hungry_only && !meter->hungry())) continue;
    std::optional<LeaseRequest> request = meter->MakeRequest(around);
    if (!request) continue;
    request->subject = account->subject_;
    request->period = account->period_;
    out.push_back({account, *std::move(request)});
  }
}

void Account::Settle(Quantity quantity, const std::optional<LeaseAnswer>& answer,
                     absl::Duration asked) {
  MutexLock lock(mutex_);
  if (meter(quantity)) meter(quantity)->Settle(answer, asked);
}

void Account::Look(Quantity quantity, int64_t left, absl::Duration frees_at, absl::Duration seen) {
  MutexLock lock(mutex_);
  if (meter(quantity)) meter(quantity)->Look(left, frees_at, seen);
}

bool Account::Sleep() {
  MutexLock lock(mutex_);
  for (const std::optional<Meter>& meter : meters_) {
    if (meter && !meter->asleep()) return false;
  }
  awake_ = false;
  return true;
}

}  // namespace slipway::gateway
