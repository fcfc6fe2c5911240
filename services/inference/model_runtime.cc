#include "services/inference/model_runtime.h"

#include "fmt/format.h"

namespace slipway::worker {

absl::StatusOr<std::string> PathOf(const ModelSource& source, std::string_view file) {
  const auto found = source.files.find(std::string(file));
  if (found != source.files.end()) return found->second;
  return absl::InvalidArgumentError(fmt::format("the artifact has no file {}", file));
}

}  // namespace slipway::worker
