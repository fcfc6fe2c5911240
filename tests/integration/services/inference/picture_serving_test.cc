// Pictures of many sizes, in colour and grey: trained on by the real trainer, served by the real
// runtime. On the pixels of the test part the served version scores what the trainer said.

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/precision_check.h"
#include "services/inference/raw_rows_runtime.h"
#include "tests/integration/services/inference/train_here.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training/picture_files.h"

namespace slipway::worker {
namespace {

constexpr char kSpec[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "images", "train": {"inputs": "train"}, "test": {"inputs": "test"},
           "image": {"height": 8, "width": 10, "fit": "crop"}, "scale": 255, "standardize": true},
  "architecture": {"type": "cnn", "channels": [4]},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "adam", "learning_rate": 0.003},
  "training": {"epochs": 6, "batch_size": 16, "seed": 5},
  "resources": {"threads": 1}
})";

struct Picture {
  uint32_t height;
  uint32_t width;
  uint32_t channels;
  std::vector<uint8_t> pixels;
  bool down;  // its class: does it get lighter downwards, or to the right
};

// Every third is grey. Noise hides the class of some.
std::vector<Picture> Pictures(uint32_t count, uint32_t seed) {
  std::vector<Picture> pictures;
  uint32_t random = seed;
  const auto below = [&](uint32_t most) {
    random = random * 1664525 + 1013904223;
    return (random >> 8) % most;
  };
  for (uint32_t i = 0; i < count; ++i) {
    Picture picture{5 + below(20), 5 + below(20), i % 3 == 0 ? 1u : 3u, {}, i % 2 == 0};
    for (uint32_t y = 0; y < picture.height; ++y) {
      for (uint32_t x = 0; x < picture.width; ++x) {
        const uint32_t light = picture.down ? 40 * y / picture.height : 40 * x / picture.width;
        for (uint32_t c = 0; c < picture.channels; ++c) {
          picture.pixels.push_back(static_cast<uint8_t>(light + below(200)));
        }
      }
    }
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

void Write(const std::filesystem::path& folder, const std::vector<Picture>& pictures) {
  for (const char* name : {"down", "right"}) std::filesystem::create_directories(folder / name);
  for (size_t i = 0; i < pictures.size(); ++i) {
    const Picture& picture = pictures[i];
    const std::string file =
        folder / (picture.down ? "down" : "right") / fmt::format("{:03}.png", i);
    ASSERT_TRUE(
        WriteFileAtomically(file, Png(picture.height, picture.width, picture.pixels,
                                      picture.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB))
            .ok());
  }
}

Tensor Raw(const Picture& picture) {
  return Tensor::Make(
             "image", DataType::kUint8, {1, picture.height, picture.width, picture.channels},
             Buffer::Own(std::string(picture.pixels.begin(), picture.pixels.end())), "image")
      .value();
}

std::vector<float> Floats(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.element_count()));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  return values;
}

TEST(PictureServingTest, AServedVersionScoresOnPixelsWhatTheTrainerSaid) {
  const TempDir folder;
  const std::vector<Picture> test = Pictures(150, 5);
  ASSERT_NO_FATAL_FAILURE(Write(folder / "data/train", Pictures(600, 1)));
  ASSERT_NO_FATAL_FAILURE(Write(folder / "data/test", test));
  ModelSource source;
  ASSERT_NO_FATAL_FAILURE(TrainHere(folder, kSpec, source));
  source.files["samples.safetensors"] = folder / "output/samples.safetensors";
  const auto openvino = MakeOpenVinoRuntime({.staging_dir = folder / "staging"}).value();
  RawRowsRuntime runtime(*openvino);
  const auto model = runtime.Load(source);
  ASSERT_TRUE(model.ok()) << model.status();

  double right = 0;
  double log_loss = 0;
  for (const Picture& picture : test) {
    const auto answer = (*model)->Run({Raw(picture)}, absl::InfiniteFuture());
    ASSERT_TRUE(answer.ok()) << answer.status();
    const std::vector<float> scores = Floats((*answer)[0]);
    right += (scores[0] > scores[1]) == picture.down;
    log_loss -= std::log(scores[picture.down ? 0 : 1]);
  }
  const auto evaluation =
      nlohmann::json::parse(ReadFile(folder / "output/about/evaluation.json").value());
  const auto& metrics = evaluation["metrics"];
  const auto count = static_cast<double>(test.size());
  EXPECT_EQ(evaluation["rows"], test.size());
  EXPECT_EQ(right / count, metrics["accuracy"].get<double>());
  EXPECT_NEAR(log_loss / count, metrics["log_loss"].get<double>(), 1e-5);
  EXPECT_GT(metrics["accuracy"].get<double>(), 0.7) << "it learnt nothing";
  EXPECT_LT(metrics["accuracy"].get<double>(), 1) << "nothing that could differ";

  // What was recorded for it fits, raw and scaled.
  const auto samples = ReadSamples(source, (*model)->signature());
  ASSERT_TRUE(samples.ok()) << samples.status();
  const auto network = openvino->Load(source);
  ASSERT_TRUE(network.ok()) << network.status();
  const auto scaled = ReadSamples(source, (*network)->signature());
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_EQ(Floats((*model)->Run(*samples, absl::InfiniteFuture()).value()[0]),
            Floats((*network)->Run(*scaled, absl::InfiniteFuture()).value()[0]));

  Picture transparent{2, 2, 4, std::vector<uint8_t>(16), true};
  EXPECT_TRUE(
      absl::IsInvalidArgument((*model)->Run({Raw(transparent)}, absl::InfiniteFuture()).status()));
}

}  // namespace
}  // namespace slipway::worker
