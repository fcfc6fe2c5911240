#include "services/inference/isolation.h"

#include "common/runtime_settings/runtime_settings.h"
#include "common/runtime_settings/torchscript.h"
#include "fmt/format.h"

namespace slipway::worker {

absl::Status CheckIsolation(const Isolation& isolation, const std::string& tenant,
                            const slipway::registry::v1::ModelVersion& version) {
  if (RunsAlone(version) && isolation.model_version.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("{} is TorchScript, and runs in a process of its own only", version.name()));
  }
  if (!isolation.model_version.empty() && isolation.model_version != version.name()) {
    return absl::FailedPreconditionError(
        fmt::format("this worker is for {} only", isolation.model_version));
  }
  if (!isolation.tenant.empty()) {
    if (tenant == isolation.tenant) return absl::OkStatus();
    return absl::FailedPreconditionError(
        fmt::format("this worker is for models of tenants/{} only", isolation.tenant));
  }
  if (IsVouchedFor(version) || isolation.share_uploaded) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} was uploaded by its tenant, and this worker is shared by tenants", version.name()));
}

}  // namespace slipway::worker
