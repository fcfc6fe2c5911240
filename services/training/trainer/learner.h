#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/safetensors.h"
#include "common/tensor/tensor.h"
#include "services/training/trainer/data/examples.h"

namespace slipway::trainer {

/// What one training step tells.
struct StepResult {
  /// Mean over the rows. Where it is not finite, nothing was changed.
  double loss = 0;
  /// Rows, or tokens, whose likeliest class is the target; 0 for real targets.
  int64_t right = 0;
};

/// What a model says about rows.
struct Judgement {
  double loss = 0;            // mean over the batch
  std::vector<float> scores;  // [size, outputs], what the loss judges; of tokens, which are many:
  double log_loss = 0;        // the mean over them
  int64_t right = 0;          // how many were held the likeliest
};

/// The part of a training that computes: network, loss and optimiser. The loop around it (order,
/// checkpoints, reports) knows no torch. One thread.
/// Errors of all: kResourceExhausted (memory), kInternal.
class Learner {
 public:
  virtual ~Learner() = default;

  /// One step of the optimiser by the gradients of all `batches` together, which go through the
  /// network one after another. `step` counts from 1.
  virtual absl::StatusOr<StepResult> Train(std::span<const Batch> batches, int64_t step,
                                           double rate) = 0;

  /// Without training: dropout off, batch statistics as learnt. Where weights are averaged, by
  /// their average.
  virtual absl::StatusOr<Judgement> Judge(const Batch& batch) = 0;

  /// The weights, as a servable version has them (those that Judge uses); copies.
  virtual absl::StatusOr<std::vector<Tensor>> SaveModel() = 0;

  /// Remembers the weights of now as the best ones, in place of any before.
  virtual absl::Status KeepBest() = 0;
  /// Makes the best ones the model's, for Judge and SaveModel; the training is over then. Without
  /// any, does nothing.
  virtual absl::Status TakeBest() = 0;

  /// All that the next step depends on: weights, statistics, the optimiser's state, averages, the
  /// best weights, the state of random numbers; copies. A learner that loads it goes on bit for
  /// bit (same machine kind, same threads).
  virtual absl::StatusOr<std::vector<Tensor>> SaveState() = 0;

  /// Errors: kInvalidArgument where the file is not what SaveState made of such a learner.
  virtual absl::Status LoadState(const SafetensorsFile& file) = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_
