#include "services/gateway/usage/ledger_feed.h"

#include <algorithm>
#include <vector>

#include "common/log/log.h"
#include "common/sync/background.h"
#include "slipway/gateway/v1/journal.pb.h"

namespace slipway::gateway {
namespace {

// About 800 calls: one transaction costs two syncs, and a reader of the ledger waits for one batch.
constexpr int64_t kBatchBytes = 200 << 10;
// Where the journal is half full: on a slow disk the syncs take longer than the rows.
constexpr int64_t kBatchBytesBehind = 1 << 20;
constexpr absl::Duration kRetry = absl::Seconds(1);

}  // namespace

LedgerFeed::LedgerFeed(Journal& journal, Ledger& ledger, absl::Duration interval,
                       const Clock& clock)
    : journal_(journal), ledger_(ledger), interval_(interval), clock_(clock) {}

LedgerFeed::~LedgerFeed() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.SignalAll();
  moved_.SignalAll();
}

void LedgerFeed::Start() {
  thread_ = std::jthread([this] { Run(); });
}

absl::StatusOr<LedgerFeed::Found> LedgerFeed::Step() {
  if (!have_position_) {
    ASSIGN_OR_RETURN(next_, ledger_.Position(journal_.id()));
    journal_.Release(next_);
    have_position_ = true;
  }
  // What is not synced cannot be read.
  RETURN_IF_ERROR(journal_.Sync());
  std::vector<v1::JournalEntry> entries;
  size_t bytes = 0;
  const JournalPosition from = next_;
  const bool behind = journal_.free_bytes() < journal_.size_bytes() / 2;
  ASSIGN_OR_RETURN(const JournalPosition next,
                   journal_.Read(from, behind ? kBatchBytesBehind : kBatchBytes,
                                 [&](std::string_view record) -> absl::Status {
                                   bytes += record.size();
                                   // A record that checks but does not parse was written by a newer
                                   // version: nothing here could do more than pass it over.
                                   if (!entries.emplace_back().ParseFromArray(
                                           record.data(), static_cast<int>(record.size()))) {
                                     entries.pop_back();
                                     Log(Severity::kError, "journal_record_not_understood",
                                         {{"bytes", static_cast<int64_t>(record.size())}});
                                   }
                                   return absl::OkStatus();
                                 }));
  if (!earlier_settled_ && (next == from || next.segment >= journal_.first_segment())) {
    RETURN_IF_ERROR(ledger_.MarkBroken(journal_.id()));
    earlier_settled_ = true;
  }
  if (next == from) return Found::kNothing;
  RETURN_IF_ERROR(ledger_.Add(journal_.id(), entries, next));
  next_ = next;
  journal_.Release(next_);
  return 2 * static_cast<int64_t>(bytes) < kBatchBytes ? Found::kLittle : Found::kMuch;
}

void LedgerFeed::Run() {
  WorkInBackground();
  bool failing = false;
  for (;;) {
    const absl::StatusOr<Found> found = Step();
    const absl::Status& status = found.status();
    if (!status.ok()) failures_.fetch_add(1, std::memory_order_relaxed);
    if (!status.ok() && !failing) Log(Severity::kError, "ledger_not_written", {{"error", status}});
    if (status.ok() && failing) Log(Severity::kInfo, "ledger_written_again");
    failing = !status.ok();

    MutexLock lock(mutex_);
    if (status.ok() && earlier_settled_) {
      done_ = std::max(done_, next_);
      moved_.SignalAll();
    }
    // On through what is there, but not one call after the other: a batch costs two syncs. A last
    // look before the end takes what came meanwhile.
    if (found.ok() && (*found == Found::kMuch || (*found == Found::kLittle && stopping_))) continue;
    if (stopping_) return;
    if (!hurry_ || failing) {
      wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(failing ? kRetry : interval_));
    }
    hurry_ = false;
  }
}

absl::Status LedgerFeed::Flush(absl::Duration timeout) {
  const JournalPosition target = journal_.end();
  const absl::Duration deadline = clock_.Monotonic() + timeout;
  MutexLock lock(mutex_);
  while (done_ < target) {
    const absl::Duration left = deadline - clock_.Monotonic();
    if (left <= absl::ZeroDuration() || stopping_) {
      return absl::UnavailableError("the newest usage is not in the ledger yet");
    }
    hurry_ = true;
    wake_.SignalAll();
    moved_.WaitFor(mutex_, absl::ToChronoNanoseconds(left));
  }
  return absl::OkStatus();
}

}  // namespace slipway::gateway
