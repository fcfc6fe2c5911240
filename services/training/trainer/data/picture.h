#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PICTURE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PICTURE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/status/status.h"

namespace slipway::trainer {

/// A picture of bytes, row by row, red, green and blue beside one another. A value.
struct Picture {
  size_t height = 0;
  size_t width = 0;
  std::vector<uint8_t> pixels;  // 3 each
};

/// Reads a PNG or JPEG file, whichever its first bytes say it is: 8 bits a channel, grey as three
/// equal ones, on white where it is transparent, turned as it is stored. Errors: kInvalidArgument
/// ("is no PNG or JPEG picture", "is a damaged PNG picture: ...", more than 64 million pixels).
absl::StatusOr<Picture> DecodePicture(std::string_view file);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PICTURE_H_
