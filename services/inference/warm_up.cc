#include "services/inference/warm_up.h"

#include <string>

#include "common/nn/model_description.h"
#include "services/inference/precision_check.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

absl::Status RunAFewTimes(const LoadedModel& model, const ModelSource& source) {
  const bool recorded = source.files.contains(std::string(nn::kSamplesFile));
  ASSIGN_OR_RETURN(const TensorBatch inputs, recorded ? ReadSamples(source, model.signature())
                                                      : ZeroInputs(model.signature()));
  for (int i = 0; i < kWarmUpRuns; ++i) {
    ASSIGN_OR_RETURN(const TensorBatch outputs, model.Run(inputs, absl::InfiniteFuture()));
    RETURN_IF_ERROR(CheckOutputs(model.signature(), outputs));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WarmUp(const LoadedModel& model, const ModelSource& source) {
  const absl::Status warm = RunAFewTimes(model, source);
  return warm.ok() ? warm : Annotate(warm, "warm-up");
}

}  // namespace slipway::worker
