#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_IDX_EXAMPLES_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_IDX_EXAMPLES_H_

#include <string>

#include "services/training/trainer/data/open_data.h"

namespace slipway::trainer {

/// The rows of `part`, a file of inputs and one of targets. `field` is the part's path in the
/// spec. Classes are checked against the labels, where there are such.
absl::StatusOr<Examples> ReadIdxExamples(const training::v1::Part& part, const std::string& field,
                                         training::TargetKind targets, FileFetcher fetch);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_IDX_EXAMPLES_H_
