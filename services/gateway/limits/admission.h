#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_ADMISSION_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_ADMISSION_H_

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/limits/account.h"
#include "services/gateway/limits/lease_store.h"
#include "services/gateway/limits/permit.h"

namespace slipway::http {
struct RequestHead;
}

namespace slipway::gateway {

/// Whether a call is within what its key and its tenant may use: every call of every door asks here
/// once. Works from memory; LeaseKeeper carries what is used to the database, and leases back.
/// Any thread.
class Admission {
 public:
  /// `stale`: for how long calls of what is limited go on while the database is away. Both others
  /// outlive this.
  Admission(absl::Duration stale, Metrics& metrics, const Clock& clock);

  /// A prediction, as far as it is known before its work.
  struct Prediction {
    std::string_view deployment;     ///< tenants/{t}/deployments/{d}
    std::string_view model_version;  ///< tenants/{t}/models/{m}/versions/{n}
    int64_t tokens = 0;              ///< rows of its tensors; of text: in and at most out
  };

  /// Told, by any thread, of each request that is refused: its key, the reason ("limit_requests",
  /// ..., a literal) and what it is answered. Set before the first Admit.
  using OnRefused = std::function<void(const KnownKey& key, const http::RequestHead& head,
                                       std::string_view reason, int http_code)>;
  void SetOnRefused(OnRefused on_refused) { on_refused_ = std::move(on_refused); }

  /// Takes what the call needs: a request and, of a prediction, its tokens, a place among those
  /// under way, and what it is expected to cost. Errors, fit for the caller, with headers that say
  /// when to come back: OverLimit; kUnavailable where the database has been away for too long.
  /// `head`: the request's; null where there is none (a batch's line, which comes again).
  absl::StatusOr<Permit> Admit(const KnownKey& key, const http::RequestHead* head);
  absl::StatusOr<Permit> Admit(const KnownKey& key, const http::RequestHead* head,
                               const Prediction& prediction);

  /// The rest is LeaseKeeper's.

  /// Called, by any thread, when Collect(true) should not wait for its time.
  void OnHungry(std::function<void()> on_hungry) { on_hungry_ = std::move(on_hungry); }

  /// Takes what the database says: from the look that began at `began` (Clock::Monotonic).
  void Apply(const LimitsLook& look, absl::Duration began);

  /// What is to be exchanged with the database; each of them is to be settled.
  std::vector<Account::Pending> Collect(bool hungry_only);

 private:
  friend class Permit;

  Permit PermitFor(const KnownKey& key);
  absl::StatusOr<Permit> Take(Permit permit, const KnownKey& key, const http::RequestHead* head,
                              const Amounts& amounts);
  Surroundings Around() const;
  void Note(const std::shared_ptr<Account>& account, const Account::Taken& taken);

  using Accounts = absl::flat_hash_map<std::string, std::shared_ptr<Account>>;

  const absl::Duration stale_;
  const Clock& clock_;
  std::function<void()> on_hungry_;
  OnRefused on_refused_;
  std::atomic<int64_t> looked_nanos_;
  std::atomic<int64_t> settled_nanos_ = -1;  // not known yet
  std::atomic<int> replicas_ = 1;
  std::atomic<bool> hungry_ = false;
  // Of tenant and key, by quantity.
  std::array<std::array<prometheus::Counter*, kQuantities.size()>, 2> refused_;

  Mutex mutex_;
  Accounts tenants_ GUARDED_BY(mutex_);  // by id
  Accounts keys_ GUARDED_BY(mutex_);     // by id
  std::shared_ptr<const PriceList> prices_ GUARDED_BY(mutex_);

  Mutex awake_mutex_;
  std::vector<std::shared_ptr<Account>> awake_ GUARDED_BY(awake_mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_ADMISSION_H_
