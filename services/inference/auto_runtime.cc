#include "services/inference/auto_runtime.h"

#include "common/log/log.h"
#include "common/nn/model_description.h"
#include "common/runtime_settings/torchscript.h"

namespace slipway::worker {
namespace {

using Loaded = absl::StatusOr<std::shared_ptr<const LoadedModel>>;
using Runtime = RuntimeSettings::Runtime;

Loaded LoadBy(ModelRuntime* runtime, std::string_view name, const ModelSource& source) {
  if (runtime != nullptr) return runtime->Load(source);
  return absl::UnimplementedError(fmt::format("this worker has no runtime \"{}\"", name));
}

}  // namespace

Loaded AutoRuntime::Load(const ModelSource& source) {
  switch (source.settings.runtime) {
    case Runtime::kTorch:
      return LoadBy(torch_.get(), "torch", source);
    case Runtime::kOpenVino:
      return LoadBy(openvino_.get(), "openvino", source);
    case Runtime::kAuto:
      break;
  }
  if (source.format == kTorchScriptFormat) return LoadBy(torch_.get(), "torch", source);
  const bool own = source.format == nn::kArtifactFormat;
  if (own && (!on_cpu_ || openvino_ == nullptr)) return LoadBy(torch_.get(), "torch", source);
  Loaded model = LoadBy(openvino_.get(), "openvino", source);
  if (own && torch_ != nullptr && absl::IsUnimplemented(model.status())) {
    Log(Severity::kInfo, "runtime_replaced",
        {{"runtime", "torch"}, {"instead_of", "openvino"}, {"reason", model.status()}});
    return torch_->Load(source);
  }
  return model;
}

}  // namespace slipway::worker
