#ifndef SLIPWAY_SERVICES_CONTROLLER_WORKER_LIFE_H_
#define SLIPWAY_SERVICES_CONTROLLER_WORKER_LIFE_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "services/controller/worker_pool.h"

namespace slipway::controller {

/// What a pool remembers of a worker that it starts, over one process after another. A value; times
/// are by Clock::Monotonic.
struct WorkerLife {
  bool running = false;
  int64_t incarnation = 0;
  absl::Duration changed_at;
  int failed_starts = 0;
  std::string down_reason;
  /// Why it was killed, where we did it.
  std::string stop_reason;
  /// It was told to end.
  bool retired = false;
  std::string owner;

  /// The next process is started. It must not run.
  void Begin(const std::string& for_owner, absl::Duration now);

  /// The process has ended; one that ran for less than `healthy_after` is a start that failed.
  void End(const std::string& how, absl::Duration now, absl::Duration healthy_after);

  /// All but where it listens.
  WorkerProcess Describe(WorkerId id, absl::Duration now, absl::Duration healthy_after) const;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_WORKER_LIFE_H_
