#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_METER_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_METER_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "services/gateway/limits/limits.h"
#include "services/gateway/limits/shared_meter.h"

namespace slipway::gateway {

/// What a replica knows of the others. Times are Clock::Monotonic's.
struct Surroundings {
  absl::Duration now;
  /// When the last look at the database that worked was begun.
  absl::Duration looked;
  int replicas = 1;
  /// This one has only just come, and others may not have heard of it: it takes no part yet, but
  /// for a call that nobody would miss.
  bool new_here = false;

  /// The database does not answer: each replica goes by its even share.
  bool blind() const { return now - looked > kLookTime; }
};

/// One limit of one tenant or key, as this replica may use it: by its lease, its credit, and, while
/// the database does not answer, its even share of the limit (see limits.h). No thread, no clock;
/// its owner holds a lock.
class Meter {
 public:
  Meter(Quantity quantity, int64_t limit) : quantity_(quantity), limit_(limit), left_(limit) {}

  /// The limit was changed.
  void Set(int64_t limit);

  bool MayTake(int64_t amount, const Surroundings& around);
  /// Takes, or where that is negative gives back. Also what MayTake would not let: what a call
  /// has cost is known afterwards.
  void Take(int64_t amount, const Surroundings& around);
  /// A call was refused because of it.
  void CountRefused(int64_t amount, const Surroundings& around);

  int64_t limit() const { return limit_; }
  /// What may still be used, as far as this replica knows.
  int64_t Left(const Surroundings& around) const;
  /// Until it makes sense to come back after a refusal.
  absl::Duration RetryIn(const Surroundings& around) const;
  /// Until more is left by the passing of time; infinite where that brings none.
  absl::Duration FreesIn(const Surroundings& around) const;
  /// Should the database be asked before the next quarter of a second is over?
  bool hungry() const { return hungry_; }

  /// What to tell the database, and to ask of it; nothing where there is no need. `subject`
  /// and `period` are its owner's to fill in.
  std::optional<LeaseRequest> MakeRequest(const Surroundings& around);
  /// What became of the last request: its answer, or nothing where it may not have come through,
  /// and is sent again as it is. `asked`: when it was sent.
  void Settle(const std::optional<LeaseAnswer>& answer, absl::Duration asked);
  /// What was left for everybody after some replica's request, at `seen`.
  void Look(int64_t left, absl::Duration frees_at, absl::Duration seen);
  /// Is there nothing to tell, now or later, before the next Take?
  bool asleep() const;

 private:
  bool windowed() const {
    return quantity_ == Quantity::kRequests || quantity_ == Quantity::kTokens;
  }
  int64_t Lease(const Surroundings& around) const;
  int64_t LeftForAll(absl::Duration now) const;
  int64_t EvenShare(const Surroundings& around);
  int64_t Want(const Surroundings& around);
  bool idle() const;

  const Quantity quantity_;
  int64_t limit_;

  // What was seen of the shared meter last.
  int64_t left_;
  absl::Duration frees_at_ = absl::InfiniteDuration();
  absl::Duration seen_ = -absl::InfiniteDuration();

  int64_t lease_ = 0;  // what is not used of it
  int64_t granted_ = 0;
  absl::Duration lease_end_ = -absl::InfiniteDuration();
  int64_t ahead_ = 0;  // taken on credit since it was reported last
  bool hungry_ = false;

  int64_t held_ = 0;    // concurrency: under way
  int64_t peak_ = 0;    // the most of these since the last request
  int64_t used_ = 0;    // the others: since the last request
  int64_t demand_ = 0;  // since the last request, also what was refused
  double rate_ = 0;     // of demand, in a second
  absl::Duration asked_ = -absl::InfiniteDuration();

  // The request that has no answer yet, and what was taken since it was made.
  std::optional<LeaseRequest> sent_;
  bool under_way_ = false;
  int64_t since_sent_ = 0;
  int64_t report_ = 0;

  // What the even share has brought, and when it was last looked at.
  double share_ = 0;
  absl::Duration share_at_ = -absl::InfiniteDuration();
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_METER_H_
