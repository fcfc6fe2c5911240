#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_OPEN_DATA_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_OPEN_DATA_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/nn/model_description.h"
#include "common/nn/preprocessing.h"
#include "common/status/status.h"
#include "services/training/spec/spec.h"
#include "services/training/spec/target_kind.h"
#include "services/training/trainer/data/examples.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::trainer {

/// Where a file of the dataset lies on this machine, by its path inside the dataset.
using FileFetcher = absl::FunctionRef<absl::StatusOr<std::string>(const std::string& path)>;

struct OpenDataOptions {
  /// All files of the dataset.
  std::vector<std::string> files;
  /// Where files may lie that are as large as the data, without a name; empty: the system's
  /// temporary folder.
  std::string folder;
  /// What masks by hash are keyed with; the same for each attempt of a job.
  std::string mask_key = "mask";
  /// Of a text.
  training::Objective objective;
  /// A model whose table masks and encodes the rows, with its own constants and keys; may be null.
  const nn::ModelDescription* base = nullptr;
};

/// Opens what `spec` names and splits it: the test part (a file of its own, or a share of the
/// train part) and the validation part are drawn by `seed`, see TakeShare; rules for columns are
/// fitted on what is left, the training rows. `spec` has passed ParseSpec.
/// Errors: InvalidField that names the field of the spec, the file in the dataset and what is
/// wrong with it: "spec.data.train.inputs: train-images.gz is cut short: ...".
absl::StatusOr<TrainingData> OpenData(const training::v1::DataSpec& spec,
                                      training::TargetKind targets, uint64_t seed,
                                      FileFetcher fetch, const OpenDataOptions& options = {});

/// What spec and data say of the model: all but its preprocessing; without an architecture where
/// the spec leaves that to a base.
nn::ModelDescription DescribeModel(const training::Spec& spec, const TrainingData& data);

/// The steps that the spec asks for, with constants fitted on the training rows alone.
absl::StatusOr<std::vector<std::shared_ptr<const nn::Preprocessing>>> FitPreprocessing(
    const training::v1::DataSpec& spec, const TrainingData& data);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_OPEN_DATA_H_
