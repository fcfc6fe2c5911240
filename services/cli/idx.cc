#include "services/cli/idx.h"

#include "common/idx/idx.h"
#include "fmt/format.h"

namespace slipway::cli {

absl::StatusOr<IdxItems> ReadIdx(const std::string& path, const std::vector<int64_t>& indices) {
  const absl::StatusOr<IdxArray> array = slipway::ReadIdx(path, path);
  if (!array.ok()) return absl::InvalidArgumentError(std::string(array.status().message()));
  const auto& dims = array->shape.dims();
  IdxItems result{.shape = {dims.begin(), dims.end()}, .items = {}};
  const auto item_bytes = static_cast<int64_t>(array->elements.size()) / result.shape[0];
  for (const int64_t index : indices) {
    if (index < 0 || index >= result.shape[0]) {
      return InvalidField("--index", fmt::format("{} is not in {}, which holds {} items", index,
                                                 path, result.shape[0]));
    }
    const auto first = array->elements.begin() + index * item_bytes;
    result.items.emplace_back(first, first + item_bytes);
  }
  return result;
}

}  // namespace slipway::cli
