#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_LIMITS_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_LIMITS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

// What is limited, of a tenant and of a key.
//
// Replicas of the gateway share each limit without asking on a request's way. What is used and what
// is leased to whom stands in the database (SharedMeter); each replica has a Meter, which goes by
//
//   its lease   an amount that the database has set aside for it, by its recent demand, for a few
//               seconds; it is given back, renewed and reported every quarter of a second, and
//               sooner where it runs low;
//   its credit  a part of what was left for everybody when the replica last looked (also every
//               quarter of a second). All replicas' credits together are at most what was left, and
//               a lease leaves alone what others may be taking on credit. So the first calls of
//               a replica need no lease, and still no limit is passed.
//
// The exception is a call that is larger than a credit, where that is smaller than one call: it
// passes as long as it is covered by what was left. So a limit may be passed by one call for each
// other replica, where calls come to all of them within the same half second.
//
// A limit "a minute" holds in any 60 seconds, not in those of the clock.
namespace slipway::gateway {

enum class Quantity { kRequests, kTokens, kConcurrency, kBudget };
inline constexpr std::array kQuantities = {Quantity::kRequests, Quantity::kTokens,
                                           Quantity::kConcurrency, Quantity::kBudget};

/// "requests", "tokens", "concurrency", "budget".
constexpr std::string_view NameOf(Quantity quantity) {
  constexpr std::string_view kNames[] = {"requests", "tokens", "concurrency", "budget"};
  return kNames[static_cast<int>(quantity)];
}

/// An amount of each quantity: calls, tokens, calls at once, millionths of a unit.
class Amounts {
 public:
  int64_t& operator[](Quantity quantity) { return amounts_[static_cast<size_t>(quantity)]; }
  int64_t operator[](Quantity quantity) const { return amounts_[static_cast<size_t>(quantity)]; }
  bool operator==(const Amounts&) const = default;

 private:
  std::array<int64_t, kQuantities.size()> amounts_ = {};
};

/// How long a budget lasts, in UTC.
enum class Period { kDay, kMonth };

/// What a tenant or a key may use; 0 is no limit.
struct Limits {
  Amounts most;
  Period period = Period::kMonth;

  bool operator==(const Limits&) const = default;
};

/// Limits as they are stored. `subject`: "tenants/acme", "tenants/acme/keys/k1".
struct LimitsRecord {
  std::string subject;
  Limits limits;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_LIMITS_H_
