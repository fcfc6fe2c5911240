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

/// The part of a picture that is looked at. Within it, and not empty.
struct Box {
  size_t top = 0;
  size_t left = 0;
  size_t height = 0;
  size_t width = 0;
};

/// The largest part in the middle that has the shape of `height` by `width`.
Box MiddleOf(const Picture& picture, size_t height, size_t width);

/// One channel that is `from` elements from one pixel to the next and `stride` from row to row.
struct Channel {
  const uint8_t* first;
  size_t step;
  size_t stride;
};

/// Scales `box` of a channel to `height` by `width` pixels at `out`, row by row: each is the mean
/// of what it covers, weighted by a triangle that is as wide as the scaling asks for (bilinear with
/// antialiasing, as Pillow does). The same on every machine.
void Resize(const Channel& channel, const Box& box, size_t height, size_t width, uint8_t* out);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PICTURE_H_
