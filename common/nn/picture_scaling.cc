#include "common/nn/picture_scaling.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"

namespace slipway::nn {
namespace {

constexpr int64_t kMaxRawSide = 65'535;

// Which pixels of `length`, from `begin`, an output pixel is made of, and how much of each.
struct Weights {
  size_t first = 0;
  std::vector<float> shares;  // together 1

  size_t end() const { return first + shares.size(); }
};

std::vector<Weights> WeightsOf(size_t begin, size_t length, size_t out_length) {
  const double scale = static_cast<double>(length) / static_cast<double>(out_length);
  const double reach = std::max(1.0, scale);
  std::vector<Weights> all(out_length);
  for (size_t i = 0; i < out_length; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto from = static_cast<size_t>(std::max(0.0, center - reach + 0.5));
    const auto to = std::min(length, static_cast<size_t>(center + reach + 0.5));
    all[i].first = begin + from;
    double sum = 0;
    std::vector<double> shares;
    for (size_t at = from; at < to; ++at) {
      const double distance = std::abs(static_cast<double>(at) + 0.5 - center) / reach;
      shares.push_back(std::max(0.0, 1 - distance));
      sum += shares.back();
    }
    for (const double share : shares) all[i].shares.push_back(static_cast<float>(share / sum));
  }
  return all;
}

// The largest part in the middle that has the shape of `height` by `width`.
Box MiddleOf(const PictureScaling::Picture& picture, size_t height, size_t width) {
  Box box{0, 0, picture.height, picture.width};
  if (picture.height * width > picture.width * height) {
    box.height = std::max<size_t>(1, picture.width * height / width);
    box.top = (picture.height - box.height) / 2;
  } else {
    box.width = std::max<size_t>(1, picture.height * width / height);
    box.left = (picture.width - box.width) / 2;
  }
  return box;
}

// As ITU-R BT.601 weighs the colours.
std::vector<uint8_t> ToGrey(const PictureScaling::Picture& picture) {
  std::vector<uint8_t> grey(picture.height * picture.width);
  for (size_t i = 0; i < grey.size(); ++i) {
    const uint8_t* const pixel = picture.pixels + 3 * i;
    grey[i] = static_cast<uint8_t>((299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2] + 500) / 1000);
  }
  return grey;
}

absl::StatusOr<Tensor> MakePictures(const TensorSpec& spec, Shape shape, std::string bytes) {
  return Tensor::Make(spec.name, spec.dtype, std::move(shape), Buffer::Own(std::move(bytes)),
                      spec.name);
}

}  // namespace

void Resize(const Channel& channel, const Box& box, size_t height, size_t width, uint8_t* out) {
  const std::vector<Weights> across = WeightsOf(box.left, box.width, width);
  const std::vector<Weights> down = WeightsOf(box.top, box.height, height);
  // Row by row of the box: as wide as the result, then added to each row of the result that it is
  // a part of. A box of any height takes no more memory than the result.
  std::vector<float> sums(height * width);
  std::vector<float> row(width);
  size_t first = 0;
  for (size_t y = box.top; y < box.top + box.height; ++y) {
    const uint8_t* const pixels = channel.first + y * channel.stride;
    for (size_t x = 0; x < width; ++x) {
      float sum = 0;
      for (size_t i = 0; i < across[x].shares.size(); ++i) {
        sum += across[x].shares[i] * pixels[(across[x].first + i) * channel.step];
      }
      row[x] = sum;
    }
    while (first < height && down[first].end() <= y) ++first;
    for (size_t to = first; to < height && down[to].first <= y; ++to) {
      const float share = down[to].shares[y - down[to].first];
      for (size_t x = 0; x < width; ++x) sums[to * width + x] += share * row[x];
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    out[i] = static_cast<uint8_t>(std::clamp(sums[i] + 0.5f, 0.f, 255.f));
  }
}

TensorSpec PictureScaling::raw() const {
  return {kRaw, DataType::kUint8, {Shape::kAny, Shape::kAny, Shape::kAny, Shape::kAny}};
}

TensorSpec PictureScaling::scaled() const {
  return {kScaled, DataType::kUint8, {Shape::kAny, channels, height, width}};
}

void PictureScaling::Scale(const Picture& picture, uint8_t* out) const {
  const auto to_height = static_cast<size_t>(height);
  const auto to_width = static_cast<size_t>(width);
  const size_t plane = to_height * to_width;
  const Box box = fit == Fit::kCrop ? MiddleOf(picture, to_height, to_width)
                                    : Box{0, 0, picture.height, picture.width};
  const auto scale = [&](const uint8_t* first, size_t step, uint8_t* to) {
    Resize({first, step, step * picture.width}, box, to_height, to_width, to);
  };
  if (picture.channels == 1) {
    scale(picture.pixels, 1, out);
    for (int64_t i = 1; i < channels; ++i)
      std::copy_n(out, plane, out + static_cast<size_t>(i) * plane);
  } else if (channels == 1) {
    scale(ToGrey(picture).data(), 1, out);
  } else {
    for (size_t i = 0; i < picture.channels; ++i) {
      scale(picture.pixels + i, picture.channels, out + i * plane);
    }
  }
}

absl::StatusOr<Tensor> PictureScaling::Scale(const Tensor& raw) const {
  RETURN_IF_ERROR(raw.CheckAgainst(this->raw(), kRaw));
  const Shape& shape = raw.shape();
  if (shape[3] != 1 && shape[3] != 3) {
    return InvalidField(kRaw, fmt::format("has {} channels beside one another ({}), and must have "
                                          "1 or 3",
                                          shape[3], shape.ToString()));
  }
  for (const size_t side : {1, 2}) {
    if (shape[side] >= 1 && shape[side] <= kMaxRawSide) continue;
    return InvalidField(kRaw, fmt::format("must have sides of 1 to {} pixels, got {}", kMaxRawSide,
                                          shape.ToString()));
  }
  const auto* const pixels = reinterpret_cast<const uint8_t*>(raw.data().data());
  const auto raw_bytes = static_cast<size_t>(shape.Product(1));
  std::string bytes(static_cast<size_t>(shape[0]) * scaled_bytes(), '\0');
  for (size_t i = 0; i < static_cast<size_t>(shape[0]); ++i) {
    Scale({.pixels = pixels + i * raw_bytes,
           .height = static_cast<size_t>(shape[1]),
           .width = static_cast<size_t>(shape[2]),
           .channels = static_cast<size_t>(shape[3])},
          reinterpret_cast<uint8_t*>(bytes.data()) + i * scaled_bytes());
  }
  return MakePictures(scaled(), {shape[0], channels, height, width}, std::move(bytes));
}

absl::StatusOr<Tensor> PictureScaling::Unscale(const Tensor& scaled) const {
  RETURN_IF_ERROR(scaled.CheckAgainst(this->scaled(), kScaled));
  const std::string_view from = scaled.data().view();
  const auto plane = static_cast<size_t>(height * width);
  const auto depth = static_cast<size_t>(channels);
  std::string bytes(from.size(), '\0');
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t picture = i / (plane * depth);
    const size_t channel = i / plane % depth;
    bytes[(picture * plane + i % plane) * depth + channel] = from[i];
  }
  return MakePictures(raw(), {scaled.shape()[0], height, width, channels}, std::move(bytes));
}

}  // namespace slipway::nn
