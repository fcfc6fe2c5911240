#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_TORCH_LEARNER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_TORCH_LEARNER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "common/nn/network.h"
#include "services/training/spec/loss.h"
#include "services/training/spec/optimizer.h"
#include "services/training/trainer/gang.h"
#include "services/training/trainer/learner.h"

namespace slipway::trainer {

struct TorchLearnerOptions {
  std::string device = "cpu";
  /// Of the whole process, and no more than the cores that it may use; 0: as many, shared by a
  /// gang.
  int threads = 0;
  /// Decides the weights' start and all that is drawn later.
  uint64_t seed = 0;
  /// As LoopSpec's; 0: none.
  double clip_norm = 0;
  double clip_value = 0;
  double l1 = 0;
  double ema_decay = 0;
  /// Forward and backward pass compute in bfloat16; parameters, the optimiser's state, losses and
  /// what Judge says stay FP32.
  bool bfloat16 = false;
};

/// A Learner on LibTorch, with `gang` one of several that share each step. Each starts with the
/// leader's parameters and takes the same steps; batch statistics are those of its own part of a
/// batch, and their running means the mean over the gang. Random numbers and the number of threads
/// belong to the process: one at a time. Errors: those of nn::TorchNetwork::Create.
absl::StatusOr<std::unique_ptr<Learner>> MakeTorchLearner(nn::Network network,
                                                          const training::Loss& loss,
                                                          const training::Optimizer& optimizer,
                                                          const TorchLearnerOptions& options,
                                                          std::unique_ptr<Gang> gang = nullptr);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_TORCH_LEARNER_H_
