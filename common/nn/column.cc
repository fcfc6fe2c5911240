#include "common/nn/column.h"

namespace slipway::nn {

// One line a file in columns/.
extern const Kind<Column> kCategoryColumn;
extern const Kind<Column> kDateColumn;
extern const Kind<Column> kNumberColumn;
extern const Kind<Column> kTextColumn;

std::span<const Kind<Column>* const> Columns() {
  static constexpr const Kind<Column>* kAll[] = {&kNumberColumn, &kCategoryColumn, &kDateColumn,
                                                 &kTextColumn};
  return kAll;
}

absl::StatusOr<std::unique_ptr<const Column>> ParseColumn(const nlohmann::json& object,
                                                          const std::string& path) {
  return ParseKind(Columns(), object, path);
}

}  // namespace slipway::nn
