#include "common/nn/preprocessing.h"

namespace slipway::nn {

// One line a file in preprocessing/.
extern const Kind<Preprocessing> kRescale;
extern const Kind<Preprocessing> kStandardize;

std::span<const Kind<Preprocessing>* const> Preprocessings() {
  static constexpr const Kind<Preprocessing>* kAll[] = {&kRescale, &kStandardize};
  return kAll;
}

absl::StatusOr<std::unique_ptr<const Preprocessing>> ParsePreprocessing(const nlohmann::json& spec,
                                                                        const std::string& path) {
  return ParseKind(Preprocessings(), spec, path);
}

}  // namespace slipway::nn
