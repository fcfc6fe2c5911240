#ifndef SLIPWAY_COMMON_NN_PICTURE_SCALING_H_
#define SLIPWAY_COMMON_NN_PICTURE_SCALING_H_

#include <cstddef>
#include <cstdint>

#include "common/fields/field_reader.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::nn {

/// A part of a picture. Within it, and not empty.
struct Box {
  size_t top = 0;
  size_t left = 0;
  size_t height = 0;
  size_t width = 0;
};

/// One channel that is `step` elements from one pixel to the next and `stride` from row to row.
struct Channel {
  const uint8_t* first;
  size_t step;
  size_t stride;
};

/// Scales `box` of a channel to `height` by `width` pixels at `out`, row by row: each is the mean
/// of what it covers, weighted by a triangle that is as wide as the scaling asks for (bilinear with
/// antialiasing, as Pillow does). What has that size already stays as it is. The same on every
/// machine.
void Resize(const Channel& channel, const Box& box, size_t height, size_t width, uint8_t* out);

/// What turns pictures of any size into those that a network takes; a part of the model's
/// description. The trainer and the worker run this same code on the same pixels, so that training
/// and serving cannot differ. A value. See docs/adr/0015.
struct PictureScaling {
  enum class Fit {
    kStretch,  ///< the whole picture, out of shape where it must be
    kCrop,     ///< the largest part in its middle that has the right shape
  };

  /// What callers send: UINT8 [-1, height, width, channels], of any size and of 1 (grey) or 3
  /// channels (red, green, blue).
  static constexpr char kRaw[] = "image";
  /// The network's own input: UINT8 [-1, channels, height, width].
  static constexpr char kScaled[] = "scaled";
  static constexpr int64_t kMaxSide = 4096;

  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 3;  ///< 1 or 3
  Fit fit = Fit::kStretch;

  template <class V>
  void Describe(V& v) {
    static constexpr Name<Fit> kFits[] = {{"stretch", Fit::kStretch}, {"crop", Fit::kCrop}};
    v.Int("height", height, {.min = 1, .max = kMaxSide, .required = true});
    v.Int("width", width, {.min = 1, .max = kMaxSide, .required = true});
    v.Int("channels", channels, {.min = 1, .max = 3});
    if (channels == 2) v.Fail("channels", "must be 1 or 3, got 2");
    v.Enum("fit", fit, kFits);
  }

  TensorSpec raw() const;
  TensorSpec scaled() const;
  size_t scaled_bytes() const { return static_cast<size_t>(height * width * channels); }

  /// A picture, row by row, its channels (1 or 3) beside one another.
  struct Picture {
    const uint8_t* pixels;
    size_t height;  ///< At least 1, as the width.
    size_t width;
    size_t channels;
  };
  /// scaled_bytes() come out, one channel after another.
  void Scale(const Picture& picture, uint8_t* out) const;

  /// A batch as raw() says; one as scaled() says. Errors: kInvalidArgument (no pixels, sides over
  /// 65,535 pixels, channels other than 1 or 3).
  absl::StatusOr<Tensor> Scale(const Tensor& raw) const;

  /// Raw pictures that are scaled to these again.
  absl::StatusOr<Tensor> Unscale(const Tensor& scaled) const;
};

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_PICTURE_SCALING_H_
