#ifndef SLIPWAY_COMMON_NAMES_FILE_PATH_H_
#define SLIPWAY_COMMON_NAMES_FILE_PATH_H_

#include <string_view>

#include "common/status/status.h"

namespace slipway {

/// OK, or InvalidField(field) that says what the path of a file in a dataset or a version is.
absl::Status CheckFilePath(std::string_view field, std::string_view path);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_NAMES_FILE_PATH_H_
