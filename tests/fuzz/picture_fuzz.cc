// Any bytes as a picture: what is taken has all its pixels, and can be scaled.

#include <string>
#include <vector>

#include "common/nn/picture_scaling.h"
#include "services/training/trainer/data/picture.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/training/picture_files.h"

using namespace slipway;

std::vector<std::string> slipway::FuzzSeeds() {
  std::vector<uint8_t> pixels;
  for (int i = 0; i < 8 * 8 * 4; ++i) pixels.push_back(static_cast<uint8_t>(37 * i));
  return {Png(8, 8, pixels), Png(8, 8, pixels, PNG_FORMAT_GRAY), Png(8, 8, pixels, PNG_FORMAT_RGBA),
          Jpeg(9, 7, {10, 200, 30}), Jpeg(9, 7, {10, 200, 30, 40})};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto picture = trainer::DecodePicture({reinterpret_cast<const char*>(data), size});
  if (!picture.ok()) {
    FuzzExpect(absl::IsInvalidArgument(picture.status()), "a fault is the picture's");
    return 0;
  }
  FuzzExpect(picture->height > 0 && picture->width > 0, "there are pixels");
  FuzzExpect(picture->pixels.size() == 3 * picture->height * picture->width, "all of them");
  const nn::PictureScaling scaling{.height = 3, .width = 5, .fit = nn::PictureScaling::Fit::kCrop};
  std::vector<uint8_t> small(scaling.scaled_bytes());
  scaling.Scale({picture->pixels.data(), picture->height, picture->width, 3}, small.data());
  return 0;
}
