#include "common/runtime_settings/torchscript.h"

#include <algorithm>

namespace slipway {

bool RunsAlone(const registry::v1::ModelVersion& version) {
  return version.artifact().format() == kTorchScriptFormat;
}

absl::Status TorchScriptNotAllowed(std::string_view digest) {
  return absl::FailedPreconditionError(
      fmt::format("{}: TorchScript is code, and the operator has not allowed {} "
                  "(torchscript.digests)",
                  kTorchScriptFile, digest));
}

absl::Status CheckTorchScript(const registry::v1::ModelVersion& version,
                              const std::vector<std::string>& digests) {
  if (!RunsAlone(version)) return absl::OkStatus();
  for (const registry::v1::File& file : version.artifact().files()) {
    if (file.path() != kTorchScriptFile) continue;
    const bool allowed = std::ranges::find(digests, file.digest()) != digests.end();
    return allowed ? absl::OkStatus() : TorchScriptNotAllowed(file.digest());
  }
  return absl::FailedPreconditionError(
      fmt::format("{} has no file {}", version.name(), kTorchScriptFile));
}

}  // namespace slipway
