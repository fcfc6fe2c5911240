#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_FEED_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_FEED_H_

#include <atomic>
#include <thread>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/ledger.h"

namespace slipway::gateway {

/// Carries the journal's records into the ledger in batches, by a thread of its own: first those
/// of earlier processes, then it marks what they left without an outcome, then its own. While
/// the database cannot take them they stay in the journal. Any thread may call.
class LedgerFeed {
 public:
  /// `journal`, `ledger` and `clock` outlive the feed. A batch is written `interval` after its
  /// first record at the latest.
  LedgerFeed(Journal& journal, Ledger& ledger, absl::Duration interval, const Clock& clock);
  ~LedgerFeed();

  void Start();

  /// Waits until everything that the journal holds at this moment is in the ledger, at most for
  /// `timeout`. Errors: kUnavailable.
  absl::Status Flush(absl::Duration timeout);

  /// How many batches the database has refused.
  int64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  enum class Found { kNothing, kLittle, kMuch };
  void Run();
  /// Writes one batch.
  absl::StatusOr<Found> Step();

  Journal& journal_;
  Ledger& ledger_;
  const absl::Duration interval_;
  const Clock& clock_;
  std::atomic<int64_t> failures_ = 0;

  // The thread's own.
  bool have_position_ = false;
  bool earlier_settled_ = false;
  JournalPosition next_;

  Mutex mutex_;
  CondVar wake_;
  CondVar moved_;
  JournalPosition done_ GUARDED_BY(mutex_);
  bool hurry_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_LEDGER_FEED_H_
