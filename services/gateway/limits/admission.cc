#include "services/gateway/limits/admission.h"

#include <algorithm>
#include <utility>

#include "common/names/names.h"
#include "prometheus/counter.h"
#include "services/gateway/limits/refusal.h"

namespace slipway::gateway {
namespace {

enum AccountOf { kTenant = 0, kKey = 1 };

std::string_view ReasonOf(Quantity quantity) {
  switch (quantity) {
    case Quantity::kRequests:
      return "limit_requests";
    case Quantity::kTokens:
      return "limit_tokens";
    case Quantity::kConcurrency:
      return "limit_concurrency";
    case Quantity::kBudget:
      return "limit_budget";
  }
  return "limit";
}

}  // namespace

Admission::Admission(absl::Duration stale, Metrics& metrics, const Clock& clock)
    : stale_(stale),
      clock_(clock),
      looked_nanos_(absl::ToInt64Nanoseconds(clock.Monotonic())),
      prices_(std::make_shared<PriceList>(std::vector<Price>())) {
  for (const AccountOf of : {kTenant, kKey}) {
    for (const Quantity quantity : kQuantities) {
      refused_[of][static_cast<size_t>(quantity)] = &metrics.Counter(
          "limited_requests_total", "Calls that were refused because of a limit, by which",
          {{"of", of == kTenant ? "tenant" : "key"}, {"limit", std::string(NameOf(quantity))}});
    }
  }
}

Surroundings Admission::Around() const {
  const absl::Duration now = clock_.Monotonic();
  return {
      .now = now,
      .looked = absl::Nanoseconds(looked_nanos_.load(std::memory_order_relaxed)),
      .replicas = replicas_.load(std::memory_order_relaxed),
      .new_here = absl::ToInt64Nanoseconds(now) < settled_nanos_.load(std::memory_order_relaxed)};
}

Permit Admission::PermitFor(const KnownKey& key) {
  Permit permit;
  MutexLock lock(mutex_);
  permit.prices_ = prices_;
  if (const auto found = tenants_.find(key.principal.tenant); found != tenants_.end()) {
    permit.accounts_[kTenant] = found->second;
  }
  if (const auto found = keys_.find(key.principal.key_id); found != keys_.end()) {
    permit.accounts_[kKey] = found->second;
  }
  return permit;
}

absl::StatusOr<Permit> Admission::Admit(const KnownKey& key, const http::RequestHead* head) {
  Amounts amounts;
  amounts[Quantity::kRequests] = 1;
  return Take(PermitFor(key), key, head, amounts);
}

absl::StatusOr<Permit> Admission::Admit(const KnownKey& key, const http::RequestHead* head,
                                        const Prediction& prediction) {
  Amounts amounts;
  amounts[Quantity::kRequests] = 1;
  amounts[Quantity::kTokens] = prediction.tokens;
  amounts[Quantity::kConcurrency] = 1;
  Permit permit = PermitFor(key);
  permit.priced_ = permit.prices_->Find(prediction.deployment, prediction.model_version);
  if (permit.priced_ != nullptr) {
    amounts[Quantity::kBudget] = permit.priced_->price.CostOf(
        {.input_tokens = prediction.tokens,
         .compute_micros = permit.priced_->compute_micros.load(std::memory_order_relaxed)});
  }
  return Take(std::move(permit), key, head, amounts);
}

absl::StatusOr<Permit> Admission::Take(Permit permit, const KnownKey& key,
                                       const http::RequestHead* head, const Amounts& amounts) {
  if (permit.accounts_[kTenant] == nullptr && permit.accounts_[kKey] == nullptr) return permit;
  const auto refused = [&](std::string_view reason, int http_code) {
    if (head != nullptr && on_refused_ != nullptr) on_refused_(key, *head, reason, http_code);
  };
  const Surroundings around = Around();
  if (around.now - around.looked > stale_) {
    refused("limits_unavailable", 503);
    return absl::UnavailableError("limits cannot be checked at the moment; try again");
  }
  permit.admission_ = this;
  // The key's first: one that is refused takes nothing from its tenant.
  for (const AccountOf of : {kKey, kTenant}) {
    const std::shared_ptr<Account>& account = permit.accounts_[of];
    if (account == nullptr) continue;
    const Account::Taken taken = account->Take(amounts, around, permit.requests_, permit.tokens_);
    Note(account, taken);
    if (!taken.refusal) continue;
    refused_[of][static_cast<size_t>(taken.refusal->quantity)]->Increment();
    refused(ReasonOf(taken.refusal->quantity), 429);
    http::Headers headers;
    permit.AddHeaders(headers);
    absl::Status status = OverLimit(account->subject(), *taken.refusal, std::move(headers));
    if (of == kTenant && permit.accounts_[kKey] != nullptr) {
      permit.accounts_[kTenant] = nullptr;
      permit.taken_ = amounts;  // and given back
    }
    return status;
  }
  permit.taken_ = amounts;
  return permit;
}

void Admission::Note(const std::shared_ptr<Account>& account, const Account::Taken& taken) {
  if (taken.woken) {
    MutexLock lock(awake_mutex_);
    awake_.push_back(account);
  }
  if (taken.hungry && !hungry_.load(std::memory_order_relaxed) && !hungry_.exchange(true)) {
    if (on_hungry_) on_hungry_();
  }
}

void Admission::Apply(const LimitsLook& look, absl::Duration began) {
  MutexLock lock(mutex_);
  const auto find = [&](const std::string& subject, bool make) -> std::shared_ptr<Account> {
    const auto key = KeyName::Parse("", subject);
    Accounts& accounts = key.ok() ? keys_ : tenants_;
    const auto tenant = TenantName::Parse("", subject);
    if (!key.ok() && !tenant.ok()) return nullptr;
    const std::string& id = key.ok() ? key->id : tenant->tenant;
    const auto found = accounts.find(id);
    if (found != accounts.end()) return found->second;
    return make ? accounts[id] = std::make_shared<Account>(subject) : nullptr;
  };
  for (const LimitsRecord& record : look.limits) {
    // Those without limits any more stay: what they let in still ends.
    const bool limited = record.limits.most != Amounts();
    if (const auto account = find(record.subject, limited)) account->Set(record.limits);
  }
  if (look.prices_changed) prices_ = std::make_shared<PriceList>(look.prices);
  for (const LimitsLook::SeenMeter& meter : look.meters) {
    if (const auto account = find(meter.subject, false)) {
      account->Look(meter.quantity, meter.left, began + meter.frees_in, began - meter.age);
    }
  }
  // By then the others have heard of this one.
  if (settled_nanos_ < 0) {
    settled_nanos_ =
        look.replicas > 1 ? absl::ToInt64Nanoseconds(clock_.Monotonic() + kLookTime) : 0;
  }
  replicas_ = look.replicas;
  looked_nanos_ = absl::ToInt64Nanoseconds(began);
}

std::vector<Account::Pending> Admission::Collect(bool hungry_only) {
  hungry_ = false;
  const Surroundings around = Around();
  std::vector<std::shared_ptr<Account>> awake;
  {
    MutexLock lock(awake_mutex_);
    awake.swap(awake_);
  }
  std::vector<Account::Pending> pending;
  std::vector<std::shared_ptr<Account>> stay;
  for (const std::shared_ptr<Account>& account : awake) {
    Account::Collect(account, hungry_only, around, pending);
    if (!account->Sleep()) stay.push_back(account);
  }
  MutexLock lock(awake_mutex_);
  awake_.insert(awake_.end(), stay.begin(), stay.end());
  return pending;
}

}  // namespace slipway::gateway
