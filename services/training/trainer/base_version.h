#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_BASE_VERSION_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_BASE_VERSION_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/nn/model_description.h"
#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/safetensors.h"
#include "services/training/trainer/attempt_host.h"
#include "services/training/trainer/data/examples.h"

// The version that a training goes on from (spec.base), and what of it a run takes over. Errors of
// all: InvalidField that names what of the spec does not fit the base.
namespace slipway::trainer {

struct BaseVersion {
  nn::ModelDescription description;
  nn::Network network;
  /// The network's; absent where only a plan is made.
  std::optional<SafetensorsFile> weights;
  /// Over description and weights, hex: a checkpoint of a run with another base is no use.
  std::string digest;
};

/// The base whose description is `text`, without weights.
absl::StatusOr<BaseVersion> DescribeBase(std::string_view text);

/// Fetches description and weights. Errors: also the host's.
absl::StatusOr<BaseVersion> OpenBase(AttemptHost& host);

/// Fills in what of `description`, which is of `data`, the base decides: its preprocessing, unless
/// that is fitted anew, and its architecture, where the spec has none.
absl::Status TakeOver(const training::v1::JobSpec& job, const BaseVersion& base,
                      const TrainingData& data, nn::ModelDescription& description);

/// Whether the base's last layer is one for these targets: as many numbers, or as many classes of
/// the same names, as far as both have names, or the same tokens.
bool KeepsHead(const BaseVersion& base, nn::Task task, const TrainingData& data);

/// What a run with a base trains.
struct FineTuning {
  /// The description's, with layers frozen or adapters added.
  nn::Network network;
  /// The base's weights, by the network's names; none where it came without.
  std::vector<Tensor> weights;
  /// In words, for the log.
  std::string summary;
};

/// `network` is `description`'s; the last layer starts anew unless `keep_head`.
absl::StatusOr<FineTuning> PlanFineTuning(const training::v1::JobSpec& job, const BaseVersion& base,
                                          const nn::ModelDescription& description,
                                          const nn::Network& network, bool keep_head);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_BASE_VERSION_H_
