#ifndef SLIPWAY_SERVICES_TRAINING_LAUNCHER_H_
#define SLIPWAY_SERVICES_TRAINING_LAUNCHER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// How a trainer went, where it says nothing else: what it reported by AttemptService comes first.
struct TrainerEnd {
  /// For the job's owner: "the trainer was killed by SIGKILL". Empty: it ended by itself, as one
  /// does that has told its verdict.
  std::string reason;
  /// Another attempt may do better.
  bool retryable = true;
  /// It was stopped from outside, and has left a checkpoint: no failure.
  bool interrupted = false;
  /// The end of what it wrote, oldest line first.
  std::vector<std::string> last_lines;
};

/// A trainer that runs. Any thread. Dropping it leaves the trainer alone.
class Trainer {
 public:
  virtual ~Trainer() = default;

  /// Asks it to write a checkpoint and end. May be repeated.
  virtual void Stop() = 0;

  /// Ends it at once.
  virtual void Kill() = 0;
};

/// Starts trainers: processes of this machine, later Kubernetes Jobs. Any thread. A trainer never
/// outlives its launcher unseen: processes die with it.
class Launcher {
 public:
  /// Called once, on a thread of the launcher, when the trainer is gone for good; must not block.
  using OnEnd = std::function<void(TrainerEnd)>;

  virtual ~Launcher() = default;

  /// Starts the trainer of `attempt` (its job, number, spec and dataset; the launcher adds folders
  /// and addresses), which speaks for the owner of `key_id` for at most `lifetime`. `on_end` is
  /// not called when this fails.
  /// Errors: StorageFull, kNotFound (the program), kResourceExhausted, kInternal.
  virtual absl::StatusOr<std::unique_ptr<Trainer>> Launch(v1::Attempt attempt,
                                                          const std::string& key_id,
                                                          absl::Duration lifetime,
                                                          OnEnd on_end) = 0;

  /// Removes what the job's attempts left: checkpoints, logs, tokens. None of them runs.
  virtual absl::Status Discard(const JobName& job) = 0;

  /// Discards every job but these: after a restart.
  virtual absl::Status DiscardAllBut(const std::vector<JobName>& jobs) = 0;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_LAUNCHER_H_
