#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_HAND_IN_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_HAND_IN_H_

#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/nn/model_description.h"
#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"
#include "services/training/spec/spec.h"
#include "services/training/trainer/attempt_host.h"
#include "services/training/trainer/data/data_report.h"
#include "services/training/trainer/data/examples.h"
#include "services/training/trainer/evaluation.h"

namespace slipway::trainer {

/// What a training made, and what it made it of.
struct TrainedModel {
  const training::Spec& spec;
  const std::string& dataset_digest;
  const TrainingData& data;
  const DataReport& data_report;
  const nn::ModelDescription& description;
  const nn::Network& network;
  std::vector<Tensor> weights;
  /// On the test part; `metrics` are the score's, by name.
  const Score& score;
  const std::map<std::string, double>& metrics;
};

/// Writes the artifact's files into `folder` and hands them to `host` with all that a version is
/// registered by. The folder `charts`, for TensorBoard, goes along if it is there.
/// `warn` hears what the artifact lacks. Errors: those of the host and of the volume.
absl::Status HandIn(const TrainedModel& model, const std::string& folder, const std::string& charts,
                    AttemptHost& host, absl::FunctionRef<void(std::string text)> warn);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_HAND_IN_H_
