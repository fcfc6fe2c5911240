#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_RUNNER_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_RUNNER_H_

#include <set>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "services/gateway/batches/batch_run.h"

namespace slipway::gateway {

/// Runs the batches of all tenants, a few at a time, on threads of its own. Every replica has one,
/// and takes up what another was killed at. Any thread.
class BatchRunner {
 public:
  struct Settings {
    int threads = 2;
    /// How often it looks for what other replicas were told, or left behind.
    absl::Duration poll = absl::Seconds(1);
  };

  /// All parts outlive the runner.
  BatchRunner(const BatchRun::Parts& parts, const Settings& settings);
  /// As Stop().
  ~BatchRunner();

  void Start();
  /// There is something to run.
  void Wake();
  /// Leaves its batches to others, and returns when they have been.
  void Stop();

  /// Takes the next batch and runs it until its end or until it is another's turn. False where
  /// there was none. Errors: the database's.
  absl::StatusOr<bool> RunNext();

 private:
  void Loop();

  const BatchRun::Parts parts_;
  const Settings settings_;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::set<BatchRun*> running_ GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_RUNNER_H_
