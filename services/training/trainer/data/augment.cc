#include "services/training/trainer/data/augment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/nn/picture_scaling.h"
#include "fmt/format.h"
#include "services/training/trainer/data/random.h"

namespace slipway::trainer {
namespace {

constexpr char kField[] = "spec.data.augment";
// Apart from those of the splits and of the orders of epochs.
constexpr uint64_t kStream = uint64_t{1} << 61;

// Evenly from [0, 1).
double Share(Random& random) { return static_cast<double>(random.Next() >> 11) * 0x1p-53; }

}  // namespace

absl::StatusOr<Augmenter> Augmenter::Make(const training::v1::AugmentSpec& spec,
                                          const TensorSpec& input, uint64_t seed) {
  const Shape& shape = input.shape;
  if (input.dtype != DataType::kUint8 || (shape.rank() != 3 && shape.rank() != 4)) {
    return InvalidField(kField, fmt::format("is for pictures of bytes, and these inputs are {} {}",
                                            DataTypeName(input.dtype), shape.ToString()));
  }
  Augmenter augmenter(spec, seed);
  augmenter.channels_ = shape.rank() == 4 ? static_cast<size_t>(shape[1]) : 1;
  augmenter.height_ = static_cast<size_t>(shape[shape.rank() - 2]);
  augmenter.width_ = static_cast<size_t>(shape[shape.rank() - 1]);
  const auto least = static_cast<int64_t>(std::min(augmenter.height_, augmenter.width_));
  if (spec.shift() >= least) {
    return InvalidField(
        fmt::format("{}.shift", kField),
        fmt::format("must be less than {}, as the pictures are, got {}", least, spec.shift()));
  }
  return augmenter;
}

void Augmenter::Apply(int64_t place, Batch& batch) const {
  const size_t bytes = channels_ * height_ * width_;
  for (int64_t i = 0; i < batch.size; ++i) {
    Change(reinterpret_cast<uint8_t*>(batch.inputs.data()) + static_cast<size_t>(i) * bytes,
           place + i);
  }
}

void Augmenter::Change(uint8_t* picture, int64_t place) const {
  Random random(seed_, kStream + static_cast<uint64_t>(place));
  const bool flip = spec_.flip() && random.Below(2) == 1;
  // A part of at least `crop` of the area, of any place and about the picture's shape.
  nn::Box box{0, 0, height_, width_};
  if (spec_.crop() > 0) {
    const double side = std::sqrt(spec_.crop() + (1 - spec_.crop()) * Share(random));
    const auto part = [&](size_t whole) {
      return std::clamp<size_t>(std::lround(side * static_cast<double>(whole)), 1, whole);
    };
    box.height = part(height_);
    box.width = part(width_);
    box.top = random.Below(height_ - box.height + 1);
    box.left = random.Below(width_ - box.width + 1);
  }
  const auto reach = static_cast<uint64_t>(spec_.shift());
  const auto shift = [&] {
    return static_cast<ptrdiff_t>(random.Below(2 * reach + 1)) - static_cast<ptrdiff_t>(reach);
  };
  const ptrdiff_t down = shift();
  const ptrdiff_t right = shift();
  std::vector<uint8_t> part(height_ * width_);
  for (size_t channel = 0; channel < channels_; ++channel) {
    uint8_t* const plane = picture + channel * height_ * width_;
    if (spec_.crop() > 0) {
      nn::Resize({plane, 1, width_}, box, height_, width_, part.data());
    } else {
      std::copy_n(plane, part.size(), part.data());
    }
    for (size_t y = 0; y < height_; ++y) {
      for (size_t x = 0; x < width_; ++x) {
        const size_t column = flip ? width_ - 1 - x : x;
        const ptrdiff_t from_y = static_cast<ptrdiff_t>(y) - down;
        const ptrdiff_t from_x = static_cast<ptrdiff_t>(column) - right;
        const bool inside = from_y >= 0 && from_y < static_cast<ptrdiff_t>(height_) &&
                            from_x >= 0 && from_x < static_cast<ptrdiff_t>(width_);
        plane[y * width_ + x] =
            inside ? part[static_cast<size_t>(from_y) * width_ + static_cast<size_t>(from_x)] : 0;
      }
    }
  }
}

}  // namespace slipway::trainer
