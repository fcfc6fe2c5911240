#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_RUN_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_RUN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/gateway/batches/batch_files.h"
#include "services/gateway/batches/batch_input.h"
#include "services/gateway/batches/line_caller.h"
#include "services/gateway/batches/sql_batch_store.h"

namespace slipway::gateway {

struct BatchOptions {
  /// Lines of one batch that are called at once: so many may be called again after a kill.
  size_t window = 16;
  /// How long a lease lasts without its runner. Kept three times in that while.
  absl::Duration lease = absl::Seconds(30);
  /// After so long the next batch gets its turn.
  absl::Duration turn = absl::Minutes(2);
  /// From a run that could do nothing to the next; doubled each time.
  absl::Duration first_pause = absl::Seconds(1);
  absl::Duration last_pause = absl::Minutes(1);
  /// How often a line is begun whose worker is lost each time.
  int max_attempts = 3;
};

/// One batch in the hands of one runner, until its end or until it is another's turn. The state
/// machine, each step of which may be the last before a kill:
///
///   read the input    bad lines are done at once; their number and the total are known
///   call the lines    a window of them at a time; an answer is in the ledger, then in the
///                     database, then settled. What was not stored is called again
///   write the files   from the database; the same again gives the same files
///
/// Whatever it writes it writes under its lease. One thread; Stop() from any.
class BatchRun {
 public:
  /// All outlive the run.
  struct Parts {
    SqlBatchStore& store;
    BatchFiles& files;
    LineCaller& caller;
    const Clock& clock;
    const BatchOptions& options;
  };

  BatchRun(const Parts& parts, BatchWork work);

  /// Ends the batch, or leaves it to the next run. Errors: kAborted where it is another's by now.
  absl::Status Run();

  /// Begins no more lines and breaks off those under way, which are called again by the next run.
  void Stop();

 private:
  /// A line that was begun and is not stored.
  struct Flying {
    BatchMark begin;
    std::string custom_id;
    int attempts = 0;  // before this one
    std::shared_ptr<LineCall> call;
  };
  /// Why lines are told that they are not called any more.
  struct GivenUp {
    v1::Batch::State outcome;
    std::string code;
    std::string message;
  };

  absl::Status Advance();
  absl::Status ReadInput();
  absl::Status ReadLines(LineReader& reader, int64_t& total);
  absl::Status CallLines();
  absl::Status BeginLines(LineReader& reader);
  void BeginLine(const InputLine& line, int attempts);
  void WaitForLine();
  void Collect();
  bool MayBegin();
  absl::Status WriteFiles();
  absl::StatusOr<std::string> WriteFile(bool failed);

  absl::StatusOr<std::unique_ptr<LineReader>> OpenInput();
  /// The first line that is not done, or is not stored yet.
  BatchMark Mark(const LineReader& reader) const;
  /// Keeps the lease, and what has become of lines.
  absl::Status Store(const BatchMark& mark);
  absl::Status KeepLease();
  /// No line is called any more.
  absl::Status EndLines(v1::Batch::State outcome, const absl::Status& why, std::string_view code);
  absl::Status FailBatch(std::string_view code, const absl::Status& why);
  absl::Status Release(bool pause);
  /// Until no call knows this any more.
  void BreakOff();

  const std::string& id() const { return work_.lease.name.id; }
  Principal who() const;
  bool stopping();

  const Parts parts_;
  BatchWork work_;
  const absl::Duration begun_at_;
  absl::Time lease_kept_;

  std::map<int64_t, int> begun_;  // as SqlBatchStore::Begun
  std::map<int64_t, Flying> flying_;
  std::vector<LineResult> results_;                   // to be stored
  std::vector<std::shared_ptr<LineCall>> unsettled_;  // once they are
  std::optional<InputLine> waiting_;                  // until it can be begun alone
  bool alone_ = false;                                // so is the one that flies
  bool input_ended_ = false;
  std::optional<BatchMark> refused_;  // the first line that found no room
  std::optional<GivenUp> given_up_;
  bool moved_ = false;  // something was done

  Mutex mutex_;
  CondVar changed_;
  std::vector<int64_t> landed_ GUARDED_BY(mutex_);  // lines of flying_ that are done
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_RUN_H_
