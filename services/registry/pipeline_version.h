#ifndef SLIPWAY_SERVICES_REGISTRY_PIPELINE_VERSION_H_
#define SLIPWAY_SERVICES_REGISTRY_PIPELINE_VERSION_H_

#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/registry/registry_store.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::registry {

/// Makes a version of `tenant` whose pipeline its caller wrote into one that does not change any
/// more: each alias becomes the version that it names now; the format, the origin (that of the step
/// that is trusted least) and, where those of all steps are known, the signature are filled in.
///
/// Errors: InvalidField below `field`.pipeline for what is wrong with the graph; kNotFound, naming
/// the step, for a version that is absent or, in the same words, another tenant's;
/// InvalidField(`field`.signature) where one was given and is another.
absl::Status ResolvePipeline(RegistryTransaction& tx, const std::string& tenant,
                             std::string_view field, v1::ModelVersion& version);

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_PIPELINE_VERSION_H_
