#ifndef SLIPWAY_COMMON_RUNTIME_SETTINGS_TORCHSCRIPT_H_
#define SLIPWAY_COMMON_RUNTIME_SETTINGS_TORCHSCRIPT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "fmt/format.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway {

inline constexpr std::string_view kTorchScriptFormat = "torchscript";
inline constexpr std::string_view kTorchScriptFile = "model.pt";

/// With what code a worker ends whose model ran for longer than it may.
inline constexpr int kHungModelExit = 70;

/// What an operator allows of TorchScript, which is code: settings of controller and worker.
struct TorchScriptConfig {
  std::vector<std::string> digests;
  absl::Duration max_run = absl::Seconds(10);

  template <class V>
  void Describe(V& v) {
    v.Field("digests", digests,
            "Of the files (model.pt) that may be loaded: sha256:<64 hex digits> each; none: no "
            "TorchScript is served");
    v.Field("max_run", max_run,
            "A model's process whose run takes longer is ended, and started anew",
            {.min = absl::Milliseconds(1), .max = absl::Hours(1)});
  }

  absl::Status Check(std::string_view field) const {
    for (size_t i = 0; i < digests.size(); ++i) {
      RETURN_IF_ERROR(Digest::Parse(fmt::format("{}.digests[{}]", field, i), digests[i]).status());
    }
    return absl::OkStatus();
  }
};

/// Is it code, which runs in a process that has nothing else?
bool RunsAlone(const registry::v1::ModelVersion& version);

/// What whoever wants to serve a file is told that is not allowed.
absl::Status TorchScriptNotAllowed(std::string_view digest);

/// OK for versions that are no TorchScript. Errors: kFailedPrecondition that names the digest and
/// the setting where `version` may not be served.
absl::Status CheckTorchScript(const registry::v1::ModelVersion& version,
                              const std::vector<std::string>& digests);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_RUNTIME_SETTINGS_TORCHSCRIPT_H_
