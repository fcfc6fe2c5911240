#ifndef SLIPWAY_SERVICES_TRAINING_BOARD_H_
#define SLIPWAY_SERVICES_TRAINING_BOARD_H_

#include <map>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/sync/mutex.h"
#include "services/training/job.h"
#include "services/training/reconcile.h"

namespace slipway::training {

/// What the runner has to look at: the jobs that are not over, as they were last written, and the
/// wish to look again. Whoever changes a job puts it here after the store has it. Any thread.
///
/// Metrics: slipway_training_jobs{state} (queued, running, paused),
/// slipway_training_jobs_finished_total {state} and slipway_training_attempts_started_total.
class Board {
 public:
  /// `metrics` outlives the board.
  explicit Board(Metrics& metrics);

  /// Shows the job's newest state and wakes the runner. An older state than the one shown is left
  /// out: writers may get here in another order than they wrote.
  void Show(const Job& job);

  /// Takes a job off.
  void Remove(const JobName& name);

  std::vector<QueuedJob> Jobs() const;

  /// Whether the job is there, waits, and is not being cancelled.
  bool IsQueued(const JobName& name) const;

  /// Wakes the runner.
  void Poke();

  /// Waits until something was shown or poked since the last wait, or for `timeout`.
  void Wait(absl::Duration timeout);

 private:
  struct Entry {
    int64_t last_sequence = 0;
    QueuedJob job;
  };

  void Count(const QueuedJob* before, const QueuedJob& now) REQUIRES(mutex_);

  std::map<v1::TrainingJob::State, prometheus::Gauge*> unfinished_;
  std::map<v1::TrainingJob::State, prometheus::Counter*> finished_;
  prometheus::Counter& attempts_;

  mutable Mutex mutex_;
  CondVar poked_;
  bool dirty_ GUARDED_BY(mutex_) = false;
  std::map<JobName, Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_BOARD_H_
