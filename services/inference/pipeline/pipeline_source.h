#ifndef SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_SOURCE_H_
#define SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_SOURCE_H_

#include <map>
#include <string>

#include "services/inference/model_runtime.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::worker {

/// What a pipeline is made of.
struct PipelineSource {
  slipway::registry::v1::Pipeline definition;
  /// Those that its steps name, by the versions' names.
  std::map<std::string, ModelSource> models;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_SOURCE_H_
