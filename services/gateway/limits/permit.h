#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_PERMIT_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_PERMIT_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "common/http/message.h"
#include "services/gateway/limits/limits.h"
#include "services/gateway/limits/price_list.h"

namespace slipway::gateway {

class Account;
class Admission;

/// How much of a limit a minute is left, for an answer's head.
struct RateLeft {
  int64_t limit = 0;  ///< 0: there is no such limit
  int64_t left = 0;
  absl::Duration resets_in;  ///< until more is left
};

/// x-ratelimit-{limit,remaining,reset}-{requests,tokens}, of those that there are.
void AddRateHeaders(const RateLeft& requests, const RateLeft& tokens, http::Headers& headers);

/// The right to one call, which has taken what the call may use. What it has not used by its end is
/// given back. Moves; one thread at a time.
class Permit {
 public:
  /// For what nothing limits.
  Permit() = default;
  Permit(Permit&& other) noexcept { *this = std::move(other); }
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { Release(); }

  void AddHeaders(http::Headers& headers) const { AddRateHeaders(requests_, tokens_, headers); }

  /// The work is done: keeps what it has cost, whatever was reserved for it. Returns the cost, in
  /// millionths of a unit. Once.
  int64_t Charge(const Work& done);

  /// Nothing was done, by the caller's own fault: it counts as a request all the same.
  void KeepRequest();

  /// The call is over: gives back what was neither charged nor kept.
  void Release();

 private:
  friend class Admission;

  void Adjust(const Amounts& change);

  Admission* admission_ = nullptr;
  std::array<std::shared_ptr<Account>, 2> accounts_;  // of tenant and key; null: not limited
  Amounts taken_;                                     // and not kept
  std::shared_ptr<const PriceList> prices_;
  const PricedModels* priced_ = nullptr;  // of prices_
  RateLeft requests_;
  RateLeft tokens_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_PERMIT_H_
