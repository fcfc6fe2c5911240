#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_TRAINING_RUN_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_TRAINING_RUN_H_

#include <functional>
#include <memory>
#include <string>

#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/training/spec/spec.h"
#include "services/training/trainer/attempt_host.h"
#include "services/training/trainer/learner.h"

namespace slipway::trainer {

/// What somebody wants of a run that goes on.
enum class StopRequest {
  kNone,
  kCheckpoint,  // stop, and write a checkpoint first: another attempt is to go on from there
  kAbandon,     // stop; nobody will go on
};

/// How a run ended that did not fail.
enum class RunOutcome {
  kCompleted,    // the result was handed in
  kInterrupted,  // as StopRequest::kCheckpoint asked
  kAbandoned,    // as StopRequest::kAbandon or the host asked
};

struct TrainingRunOptions {
  training::Spec spec;
  /// Of the dataset: with the spec it decides which checkpoints may be gone on from.
  std::string dataset_digest;
  /// The same for each attempt of the job.
  std::string checkpoint_dir;
  /// How many processes run it, each in a call of its own, and which of them this is: 0 leads, the
  /// others have a part in its steps and report nothing.
  int processes = 1;
  int rank = 0;
  /// Of a search: its metrics on the validation part are handed in too.
  bool trial = false;
  /// Asked before each step; may be empty.
  std::function<StopRequest()> stop;
};

/// Makes the learner of a network.
using LearnerFactory = std::function<absl::StatusOr<std::unique_ptr<Learner>>(nn::Network network)>;

/// One attempt of a training job, from its dataset to a result that was handed in:
///
///  1. preparing: the dataset is fetched, read, split; preprocessing is fitted; the network built;
///  2. the newest checkpoint of this job, if there is one, is gone on from;
///  3. training: epochs of steps, with a checkpoint now and then and a look at the validation part
///     after each epoch;
///  4. evaluating: metrics of the last weights (or the best ones) on the test part, held against
///  the spec's thresholds;
///  5. registering: the files of the artifact are stored and the result handed in.
///
/// The same spec, data, machine kind and threads give the same weights bit for bit, however often
/// the run was killed in between; with another number of processes, or with another one after a
/// kill, nearly so. Torch-free. One thread. With a rank above 0 it returns by an error: that of
/// Learner::Follow once the leader is done.
///
/// Errors: kInvalidArgument and kFailedPrecondition are the job's own (data, spec, a loss that is
/// no number, a metric below its threshold): trying again would not help. Others are the machine's.
absl::StatusOr<RunOutcome> RunTraining(const TrainingRunOptions& options, AttemptHost& host,
                                       const LearnerFactory& make_learner, const Clock& clock);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_TRAINING_RUN_H_
