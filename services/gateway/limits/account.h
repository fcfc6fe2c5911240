#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_ACCOUNT_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_ACCOUNT_H_

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "services/gateway/limits/limits.h"
#include "services/gateway/limits/meter.h"
#include "services/gateway/limits/permit.h"
#include "services/gateway/limits/shared_meter.h"

namespace slipway::gateway {

/// All limits of one tenant or key, at this replica. Any thread.
class Account {
 public:
  explicit Account(std::string subject) : subject_(std::move(subject)) {}

  const std::string& subject() const { return subject_; }

  void Set(const Limits& limits);

  /// Which limit is in the way.
  struct Refusal {
    Quantity quantity;
    int64_t limit;
    int64_t asked;
    absl::Duration retry_in;
  };
  struct Taken {
    std::optional<Refusal> refusal;
    bool hungry = false;  ///< The database should be asked soon.
    bool woken = false;   ///< It has to be among those that are asked for again, from now on.
  };
  /// Takes all of it, or nothing. Says how the limits a minute stand, where they are tighter than
  /// what `requests` and `tokens` say already.
  Taken Take(const Amounts& amounts, const Surroundings& around, RateLeft& requests,
             RateLeft& tokens);
  /// Takes what is above 0 and gives back what is below, whatever the limits say.
  Taken Adjust(const Amounts& change, const Surroundings& around);

  /// What is to be told to the database and asked of it: of all limits, or of the hungry ones.
  struct Pending {
    std::shared_ptr<Account> account;
    LeaseRequest request;
  };
  static void Collect(const std::shared_ptr<Account>& account, bool hungry_only,
                      const Surroundings& around, std::vector<Pending>& out);
  void Settle(Quantity quantity, const std::optional<LeaseAnswer>& answer, absl::Duration asked);
  void Look(Quantity quantity, int64_t left, absl::Duration frees_at, absl::Duration seen);

  /// True where it holds nothing and has nothing to tell: it sleeps until the next Take.
  bool Sleep();

 private:
  std::optional<Meter>& meter(Quantity quantity) REQUIRES(mutex_) {
    return meters_[static_cast<size_t>(quantity)];
  }
  void Wake(Taken& taken) REQUIRES(mutex_);

  const std::string subject_;
  Mutex mutex_;
  std::array<std::optional<Meter>, kQuantities.size()> meters_ GUARDED_BY(mutex_);
  Period period_ GUARDED_BY(mutex_) = Period::kMonth;
  bool awake_ GUARDED_BY(mutex_) = false;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_ACCOUNT_H_
