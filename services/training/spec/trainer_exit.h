#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_TRAINER_EXIT_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_TRAINER_EXIT_H_

namespace slipway::training {

/// Exit codes of slipway-trainer. The verdict on an attempt travels by AttemptService; the code
/// matters where no verdict came. Any other code, and any signal, is a crash: tried again.
enum TrainerExit {
  /// CompleteAttempt or FailAttempt was acknowledged, or the trainer was told to stop and did.
  kTrainerDone = 0,
  /// The command line or the attempt file cannot be used: trying again would not help.
  kTrainerBadAttempt = 64,
  /// What the trainer depends on could not be reached for long: tried again.
  kTrainerUnavailable = 75,
  /// SIGTERM: it wrote a checkpoint and ended; another attempt goes on from there.
  kTrainerInterrupted = 76,
  /// One of the processes that share the job's work was lost: tried again.
  kTrainerPeerLost = 77,
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_TRAINER_EXIT_H_
