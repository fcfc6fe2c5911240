#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/status/status.h"
#include "common/tensor/safetensors.h"
#include "common/tensor/tensor.h"
#include "services/training/trainer/data/examples.h"

namespace slipway::trainer {

/// What one training step tells.
struct StepResult {
  /// Mean over the rows. Where it is not finite, nothing was changed.
  double loss = 0;
  /// Rows whose likeliest class is the target; 0 for real targets.
  int64_t right = 0;
};

/// What a model says about rows.
struct Judgement {
  double loss = 0;            // mean over the batch
  std::vector<float> scores;  // [size, outputs], what the loss judges
};

/// The part of a training that computes: network, loss and optimiser. The loop around it (order,
/// checkpoints, reports) knows no torch. One thread.
/// Errors of all: kResourceExhausted (memory), kInternal.
class Learner {
 public:
  virtual ~Learner() = default;

  /// Before the first step: gives the parameters of these names these values; the others stay as
  /// the seed drew them. Errors: kInvalidArgument that names the tensor.
  virtual absl::Status StartFrom(std::span<const Tensor> weights) = 0;

  /// One step of the optimiser by the gradients of all `batches` together, which go through the
  /// network one after another. `step` counts from 1. Where several processes share the work, this
  /// one leads, and `batches` are its part; the result is the whole step's. Errors: also
  /// kUnavailable (another process is lost).
  virtual absl::StatusOr<StepResult> Train(std::span<const Batch> batches, int64_t step,
                                           double rate) = 0;

  /// In place of everything else, in a process that does not lead: does its part of each step that
  /// the leader takes, of which it gets its batches from `part_of`. Errors: kUnavailable (the
  /// leader is gone, as it is at the end).
  virtual absl::Status Follow(absl::FunctionRef<std::span<const Batch>(int64_t step)> part_of) = 0;

  /// Without training: dropout off, batch statistics as learnt. Where weights are averaged, by
  /// their average.
  virtual absl::StatusOr<Judgement> Judge(const Batch& batch) = 0;

  /// The weights, as a servable version has them (those that Judge uses, adapters merged); copies.
  virtual absl::StatusOr<std::vector<Tensor>> SaveModel() = 0;

  /// Remembers the weights of now as the best ones, in place of any before.
  virtual absl::Status KeepBest() = 0;
  /// Makes the best ones the model's, for Judge and SaveModel; the training is over then. Without
  /// any, does nothing.
  virtual absl::Status TakeBest() = 0;

  /// All that the next step depends on: weights, statistics, the optimiser's state, averages, the
  /// best weights; copies. (Random numbers follow from seed and step.) A learner that loads it goes
  /// on bit for bit (same machine kind, same threads, as many processes).
  virtual absl::StatusOr<std::vector<Tensor>> SaveState() = 0;

  /// Errors: kInvalidArgument where the file is not what SaveState made of such a learner.
  virtual absl::Status LoadState(const SafetensorsFile& file) = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_
