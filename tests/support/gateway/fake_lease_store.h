#ifndef SLIPWAY_TESTS_SUPPORT_GATEWAY_FAKE_LEASE_STORE_H_
#define SLIPWAY_TESTS_SUPPORT_GATEWAY_FAKE_LEASE_STORE_H_

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/gateway/limits/lease_store.h"
#include "slipway/gateway/v1/limit_state.pb.h"

namespace slipway::gateway {

/// A LeaseStore in memory, by a clock of the test's. Any thread.
class FakeLeaseStore final : public LeaseStore {
 public:
  explicit FakeLeaseStore(const Clock& clock) : clock_(clock) {}

  void SetLimits(const LimitsRecord& record) {
    MutexLock lock(mutex_);
    limits_.push_back(record);
  }
  void SetPrices(std::vector<Price> prices) {
    MutexLock lock(mutex_);
    prices_ = std::move(prices);
    limits_.push_back({.subject = "prices", .limits = {}});
    prices_at_ = static_cast<int64_t>(limits_.size());
  }
  /// From now on every call says that it cannot be reached, or works again.
  void SetAway(bool away) {
    MutexLock lock(mutex_);
    away_ = away;
  }
  /// The next exchange is done, and its answer lost.
  void LoseNextAnswer() {
    MutexLock lock(mutex_);
    lose_answer_ = true;
  }
  void SetLedger(const std::string& subject, int64_t spent) {
    MutexLock lock(mutex_);
    ledger_[subject] = spent;
  }
  /// All that replicas share is lost.
  void LoseMeters() {
    MutexLock lock(mutex_);
    meters_.clear();
  }
  int exchanges() const {
    MutexLock lock(mutex_);
    return exchanges_;
  }

  absl::Status Register(const std::string& replica) override {
    MutexLock lock(mutex_);
    if (away_) return Away();
    replicas_[replica] = clock_.Now();
    return absl::OkStatus();
  }

  absl::Status Leave(const std::string& replica) override {
    MutexLock lock(mutex_);
    replicas_.erase(replica);
    return absl::OkStatus();
  }

  absl::StatusOr<LimitsLook> Look(const LimitsCursor& since) override {
    MutexLock lock(mutex_);
    if (away_) return Away();
    const absl::Time now = clock_.Now();
    LimitsLook look;
    look.cursor = {.limits = static_cast<int64_t>(limits_.size()), .meters = now};
    look.replicas =
        static_cast<int>(std::count_if(replicas_.begin(), replicas_.end(), [&](const auto& each) {
          return each.second + kReplicaTime > now;
        }));
    look.limits.assign(limits_.begin() + since.limits, limits_.end());
    look.prices_changed = prices_at_ > since.limits;
    look.prices = prices_;
    for (const auto& [key, meter] : meters_) {
      if (meter.changed < since.meters) continue;
      look.meters.push_back({.subject = key.first,
                             .quantity = key.second,
                             .left = meter.left,
                             .frees_in = meter.frees_at - now,
                             .age = now - meter.changed});
    }
    return look;
  }

  absl::StatusOr<std::vector<LeaseAnswer>> Exchange(
      const std::string& replica, int replicas,
      const std::vector<LeaseRequest>& requests) override {
    MutexLock lock(mutex_);
    if (away_) return Away();
    ++exchanges_;
    std::vector<LeaseAnswer> answers;
    for (const LeaseRequest& request : requests) {
      Meter& meter = meters_[{request.subject, request.quantity}];
      const absl::Time now = clock_.Now();
      auto answer = Share(meter.state, replica, request, replicas, now, std::nullopt);
      if (!answer) {
        answer = Share(meter.state, replica, request, replicas, now, ledger_[request.subject]);
      }
      meter.left = answer->left;
      meter.frees_at = now + answer->frees_in;
      meter.changed = now;
      answers.push_back(*answer);
    }
    if (std::exchange(lose_answer_, false)) return Away();
    return answers;
  }

 private:
  struct Meter {
    v1::MeterState state;
    int64_t left = 0;
    absl::Time frees_at;
    absl::Time changed;
  };

  static absl::Status Away() {
    return absl::UnavailableError("the database cannot be reached; try again");
  }

  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::pair<std::string, Quantity>, Meter> meters_ GUARDED_BY(mutex_);
  std::map<std::string, absl::Time> replicas_ GUARDED_BY(mutex_);
  std::vector<LimitsRecord> limits_ GUARDED_BY(mutex_);
  std::vector<Price> prices_ GUARDED_BY(mutex_);
  int64_t prices_at_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, int64_t> ledger_ GUARDED_BY(mutex_);
  bool away_ GUARDED_BY(mutex_) = false;
  bool lose_answer_ GUARDED_BY(mutex_) = false;
  int exchanges_ GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_SUPPORT_GATEWAY_FAKE_LEASE_STORE_H_
