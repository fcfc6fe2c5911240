#include "services/gateway/limits/permit.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "services/gateway/limits/admission.h"

namespace slipway::gateway {
namespace {

struct Names {
  std::string_view limit;
  std::string_view remaining;
  std::string_view reset;
};

constexpr Names kOfRequests = {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                               "x-ratelimit-reset-requests"};
constexpr Names kOfTokens = {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
                             "x-ratelimit-reset-tokens"};

void Add(const Names& names, const RateLeft& rate, http::Headers& headers) {
  if (rate.limit == 0) return;
  headers.Add(names.limit, fmt::format_int(rate.limit).str());
  headers.Add(names.remaining, fmt::format_int(rate.left).str());
  headers.Add(names.reset,
              absl::FormatDuration(absl::Ceil(rate.resets_in, absl::Milliseconds(1))));
}

}  // namespace

void AddRateHeaders(const RateLeft& requests, const RateLeft& tokens, http::Headers& headers) {
  Add(kOfRequests, requests, headers);
  Add(kOfTokens, tokens, headers);
}

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this == &other) return *this;
  Release();
  admission_ = std::exchange(other.admission_, nullptr);
  accounts_ = std::move(other.accounts_);
  taken_ = std::exchange(other.taken_, Amounts());
  prices_ = std::move(other.prices_);
  priced_ = other.priced_;
  requests_ = other.requests_;
  tokens_ = other.tokens_;
  return *this;
}

int64_t Permit::Charge(const Work& done) {
  int64_t cost = 0;
  if (priced_ != nullptr) {
    cost = priced_->price.CostOf(done);
    priced_->compute_micros.store(done.compute_micros, std::memory_order_relaxed);
  }
  Amounts change;
  change[Quantity::kTokens] = done.input_tokens + done.output_tokens - taken_[Quantity::kTokens];
  change[Quantity::kBudget] = cost - taken_[Quantity::kBudget];
  // All that is left to give back is the place among those under way.
  taken_[Quantity::kRequests] = taken_[Quantity::kTokens] = taken_[Quantity::kBudget] = 0;
  Adjust(change);
  return cost;
}

void Permit::KeepRequest() { taken_[Quantity::kRequests] = 0; }

void Permit::Release() {
  Amounts back;
  for (const Quantity quantity : kQuantities) back[quantity] = -taken_[quantity];
  taken_ = Amounts();
  Adjust(back);
}

void Permit::Adjust(const Amounts& change) {
  if (admission_ == nullptr || change == Amounts()) return;
  const Surroundings around = admission_->Around();
  for (const std::shared_ptr<Account>& account : accounts_) {
    if (account != nullptr) admission_->Note(account, account->Adjust(change, around));
  }
}

}  // namespace slipway::gateway
