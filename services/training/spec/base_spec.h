#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_BASE_SPEC_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_BASE_SPEC_H_

#include <string>
#include <string_view>
#include <variant>

#include "common/names/names.h"
#include "common/status/status.h"
#include "services/training/spec/problems.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// Of BaseSpec.freeze: every layer but the one that makes the result.
inline constexpr std::string_view kAllButHead = "all_but_head";

/// Adds what is wrong with `job.base()` and with what does not go beside it.
void CheckBase(const v1::JobSpec& job, Problems& problems);

using VersionReference = std::variant<VersionName, AliasName>;

/// What spec.base.version names; where it names no tenant, `tenant`'s. Errors: InvalidField.
absl::StatusOr<VersionReference> ParseBaseVersion(const std::string& version,
                                                  const std::string& tenant);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_BASE_SPEC_H_
