#include "common/nn/architecture.h"

namespace slipway::nn {

// One line a file in architectures/.
extern const Kind<Architecture> kCnn;
extern const Kind<Architecture> kMlp;

std::span<const Kind<Architecture>* const> Architectures() {
  static constexpr const Kind<Architecture>* kAll[] = {&kCnn, &kMlp};
  return kAll;
}

absl::StatusOr<std::unique_ptr<const Architecture>> ParseArchitecture(const nlohmann::json& spec,
                                                                      const std::string& path) {
  return ParseKind(Architectures(), spec, path);
}

}  // namespace slipway::nn
