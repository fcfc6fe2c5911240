#ifndef SLIPWAY_SERVICES_TRAINING_REFERENCES_H_
#define SLIPWAY_SERVICES_TRAINING_REFERENCES_H_

#include <string>

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/training/model_registry.h"
#include "services/training/objects/object_stores.h"
#include "slipway/training/v1/training.pb.h"

// What a spec refers to.
namespace slipway::training {

/// The dataset that `spec` names, of the principal's tenant, which has the files that it names.
/// With spec.data.source: those files, as a dataset without name and digest that is still to be
/// copied. Errors: InvalidField("spec.dataset") where there is none, InvalidField below spec.data;
/// the registry's, the store's.
absl::StatusOr<registry::v1::Dataset> FindDataset(ModelRegistry& registry,
                                                  const ObjectStores& stores, const Principal& who,
                                                  const v1::JobSpec& spec, absl::Time deadline);

/// The version that `spec.base.version` names by number or alias. Errors: InvalidField (there is
/// none in the principal's tenant, or it is not one that training made); the registry's.
absl::StatusOr<registry::v1::ModelVersion> FindBase(ModelRegistry& registry, const Principal& who,
                                                    const std::string& version,
                                                    absl::Time deadline);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_REFERENCES_H_
