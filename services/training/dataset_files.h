#ifndef SLIPWAY_SERVICES_TRAINING_DATASET_FILES_H_
#define SLIPWAY_SERVICES_TRAINING_DATASET_FILES_H_

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/training/model_registry.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// The dataset that `spec` names, of the principal's tenant. Errors: InvalidField("spec.dataset")
/// where there is none; the registry's.
absl::StatusOr<registry::v1::Dataset> FindDataset(ModelRegistry& registry, const Principal& who,
                                                  const v1::JobSpec& spec, absl::Time deadline);

/// Whether it has the files that `spec` names. Errors: InvalidField below spec.data.
absl::Status CheckFiles(const registry::v1::Dataset& dataset, const v1::JobSpec& spec);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_DATASET_FILES_H_
