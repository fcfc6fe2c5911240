#include "common/nn/picture_scaling.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::nn {
namespace {

using Fit = PictureScaling::Fit;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor Pictures(const Shape& shape, const std::vector<uint8_t>& pixels) {
  return Tensor::Make("image", DataType::kUint8, shape,
                      Buffer::Own(std::string(pixels.begin(), pixels.end())), "image")
      .value();
}

std::vector<uint8_t> Bytes(const Tensor& tensor) {
  const std::string_view bytes = tensor.data().view();
  return {bytes.begin(), bytes.end()};
}

// As Pillow's resize with BILINEAR.
TEST(ResizeTest, WeighsByATriangleThatIsAsWideAsTheScaling) {
  const auto resize = [](const std::vector<uint8_t>& row, size_t width) {
    std::vector<uint8_t> out(width);
    Resize({row.data(), 1, row.size()}, {0, 0, 1, row.size()}, 1, width, out.data());
    return out;
  };
  EXPECT_THAT(resize({0, 70, 140, 210}, 2), ElementsAre(50, 160));
  EXPECT_THAT(resize({0, 100}, 4), ElementsAre(0, 25, 75, 100));
  EXPECT_THAT(resize({7, 7, 7, 7, 7}, 3), ElementsAre(7, 7, 7));
  EXPECT_THAT(resize({1, 2, 3}, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(resize({0, 255}, 1), ElementsAre(128));
}

TEST(ResizeTest, RowsAreWeighedAsColumnsAre) {
  const std::vector<uint8_t> pixels = {9, 9, 9, 0, 70, 140, 210, 9};
  for (const size_t length : {1, 2, 3, 4, 7}) {
    std::vector<uint8_t> across(length);
    std::vector<uint8_t> down(length);
    Resize({pixels.data(), 1, 8}, {0, 3, 1, 4}, 1, length, across.data());
    Resize({pixels.data(), 1, 1}, {3, 0, 4, 1}, length, 1, down.data());
    EXPECT_EQ(across, down) << length;
  }
}

TEST(PictureScalingTest, PutsChannelsOneAfterAnother) {
  // Red, green / blue, white.
  const PictureScaling scaling{.height = 2, .width = 2};
  const auto scaled =
      scaling.Scale(Pictures({1, 2, 2, 3}, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}));
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_TRUE(scaled->CheckAgainst(scaling.scaled(), "scaled").ok());
  EXPECT_THAT(Bytes(*scaled), ElementsAre(255, 0, 0, 255,    // red
                                          0, 255, 0, 255,    // green
                                          0, 0, 255, 255));  // blue
}

TEST(PictureScalingTest, ScalesEachOfABatchByItself) {
  const PictureScaling scaling{.height = 1, .width = 2, .channels = 1};
  const auto scaled = scaling.Scale(Pictures({2, 1, 4, 1}, {0, 70, 140, 210, 210, 140, 70, 0}));
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_EQ(scaled->shape(), Shape({2, 1, 1, 2}));
  EXPECT_THAT(Bytes(*scaled), ElementsAre(50, 160, 160, 50));
  EXPECT_EQ(scaling.Scale(Pictures({0, 1, 4, 1}, {}))->shape(), Shape({0, 1, 1, 2}));
}

TEST(PictureScalingTest, CropsTheMiddleWhereItIsAsked) {
  PictureScaling scaling{.height = 1, .width = 2, .channels = 1};
  const Tensor raw = Pictures({1, 1, 4, 1}, {0, 255, 255, 0});
  EXPECT_THAT(Bytes(*scaling.Scale(raw)), ElementsAre(146, 146)) << "four pixels become two";
  scaling.fit = Fit::kCrop;
  EXPECT_THAT(Bytes(*scaling.Scale(raw)), ElementsAre(255, 255));
}

TEST(PictureScalingTest, GreyAndColoursBecomeWhatTheNetworkTakes) {
  const PictureScaling grey{.height = 1, .width = 1, .channels = 1};
  EXPECT_THAT(Bytes(*grey.Scale(Pictures({1, 1, 1, 3}, {255, 0, 0}))), ElementsAre(76));
  EXPECT_THAT(Bytes(*grey.Scale(Pictures({1, 1, 1, 1}, {76}))), ElementsAre(76));
  const PictureScaling colours{.height = 1, .width = 1};
  EXPECT_THAT(Bytes(*colours.Scale(Pictures({1, 1, 1, 1}, {76}))), ElementsAre(76, 76, 76));
}

// By which recorded samples and clients that scale by themselves are served.
TEST(PictureScalingTest, WhatIsScaledAlreadyStaysAsItIs) {
  for (const int64_t channels : {1, 3}) {
    for (const Fit fit : {Fit::kStretch, Fit::kCrop}) {
      const PictureScaling scaling{.height = 5, .width = 7, .channels = channels, .fit = fit};
      std::vector<uint8_t> pixels(2 * scaling.scaled_bytes());
      for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 + i / 5);
      const Tensor scaled = Pictures({2, channels, 5, 7}, pixels).Renamed(PictureScaling::kScaled);
      const auto raw = scaling.Unscale(scaled);
      ASSERT_TRUE(raw.ok()) << raw.status();
      EXPECT_EQ(raw->shape(), Shape({2, 5, 7, channels}));
      EXPECT_EQ(Bytes(*scaling.Scale(*raw)), pixels);
    }
  }
}

TEST(PictureScalingTest, RefusesWhatIsNoPicture) {
  const PictureScaling scaling{.height = 2, .width = 2};
  const std::pair<Shape, std::string> table[] = {
      {{1, 2, 2, 4}, "image: has 4 channels beside one another ([1, 2, 2, 4])"},
      {{1, 0, 2, 3}, "image: must have sides of 1 to 65535 pixels, got [1, 0, 2, 3]"},
      {{1, 1, 65536, 1}, "image: must have sides of 1 to 65535 pixels"},
  };
  for (const auto& [shape, error] : table) {
    const auto refused =
        scaling.Scale(Pictures(shape, std::vector<uint8_t>(static_cast<size_t>(shape.Product()))));
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(error));
  }
}

}  // namespace
}  // namespace slipway::nn
