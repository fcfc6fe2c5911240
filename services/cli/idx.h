#ifndef SLIPWAY_SERVICES_CLI_IDX_H_
#define SLIPWAY_SERVICES_CLI_IDX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/status/status.h"

namespace slipway::cli {

/// Some items of an IDX file of unsigned bytes (see common/idx/idx.h).
struct IdxItems {
  /// Sizes of all dimensions; the first counts items.
  std::vector<int64_t> shape;
  /// One entry for each index that was asked for: the item's bytes, row-major.
  std::vector<std::vector<uint8_t>> items;
};

/// Reads the items at `indices`. Errors: kInvalidArgument that names the file and what is wrong
/// (cannot be
/// read, no IDX file, not of bytes, truncated, an index past the end).
absl::StatusOr<IdxItems> ReadIdx(const std::string& path, const std::vector<int64_t>& indices);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_IDX_H_
