#ifndef SLIPWAY_SERVICES_TRAINING_OBJECTS_COPY_SOURCE_H_
#define SLIPWAY_SERVICES_TRAINING_OBJECTS_COPY_SOURCE_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/training/model_registry.h"
#include "services/training/objects/object_stores.h"

namespace slipway::training {

struct CopyLimits {
  /// Of all objects of a job together.
  int64_t max_bytes = int64_t{100} << 30;
  /// For one object, and for a call that moves none.
  absl::Duration object_timeout = absl::Hours(1);
  absl::Duration call_timeout = absl::Seconds(30);
};

/// Copies what the spec names of spec.data.source into a dataset of the principal's tenant:
/// spec.dataset, or one that is named by its content, so that the same objects make one dataset
/// however often they are copied. An object is read while it does not change, or not at all.
/// `cancelled` is asked now and then. Nothing but unused blobs, which the registry removes, is left
/// where this fails.
/// Errors: those of ObjectStores::Find and ListSource; InvalidField("spec.dataset": it is there,
/// and holds something else), kFailedPrecondition (more than `max_bytes`), kAborted (an object was
/// changed meanwhile), kCancelled; the registry's.
absl::StatusOr<registry::v1::Dataset> CopySource(const v1::JobSpec& spec, const Principal& owner,
                                                 const ObjectStores& stores,
                                                 ModelRegistry& registry, const CopyLimits& limits,
                                                 const Clock& clock,
                                                 absl::FunctionRef<bool()> cancelled);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_OBJECTS_COPY_SOURCE_H_
