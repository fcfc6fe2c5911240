// Pictures: read, scaled, and changed a little while they are trained on.

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/training/trainer/data/augment.h"
#include "services/training/trainer/data/open_data.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training/picture_files.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using training::TargetKind;

class ImageDataTest : public ::testing::Test {
 protected:
  ImageDataTest() {
    spec_.set_format("images");
    spec_.mutable_train()->set_inputs("train");
    spec_.set_test_fraction(0.25);
    spec_.mutable_image()->set_height(2);
    spec_.mutable_image()->set_width(2);
  }

  void Write(const Files& files) {
    for (const auto& [path, bytes] : files) {
      std::filesystem::create_directories(std::filesystem::path(folder_ / path).parent_path());
      WriteFile(folder_ / path, bytes);
      options_.files.push_back(path);
    }
  }
  absl::StatusOr<TrainingData> Open() {
    return OpenData(
        spec_, TargetKind::kClass, 1,
        [&](const std::string& path) -> absl::StatusOr<std::string> {
          if (std::filesystem::is_regular_file(folder_ / path)) return folder_ / path;
          return absl::InvalidArgumentError("the dataset has no file " + path);
        },
        options_);
  }
  std::string ErrorOf() { return std::string(Open().status().message()); }
  static std::vector<uint8_t> RowOf(const Examples& examples, size_t row) {
    const std::string_view bytes =
        examples.inputs.view().substr(row * examples.row_bytes, examples.row_bytes);
    return {bytes.begin(), bytes.end()};
  }

  // Two by two pixels: red, green / blue, white.
  const std::string colours_ = Png(2, 2, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255});
  const std::string black_ = Png(2, 2, std::vector<uint8_t>(12, 0));
  const Files pets_ = {{"train/cat/1.png", colours_},
                       {"train/cat/2.png", black_},
                       {"train/dog/1.jpg", Jpeg(5, 7, {40, 80, 120})},
                       {"train/dog/2.png", black_}};
  TempDir folder_;
  training::v1::DataSpec spec_;
  OpenDataOptions options_;
};

TEST_F(ImageDataTest, TheFolderOfAPictureIsItsClass) {
  Write(pets_);
  Write({{"train/dog/.DS_Store", "junk"}, {"readme.txt", "of the dataset"}});
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->input, (TensorSpec{"scaled", DataType::kUint8, {-1, 3, 2, 2}}));
  EXPECT_THAT(data->labels, ElementsAre("cat", "dog"));
  EXPECT_THAT(data->train->classes, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(RowOf(*data->train, 0), ElementsAre(255, 0, 0, 255,    // red
                                                  0, 255, 0, 255,    // green
                                                  0, 0, 255, 255));  // blue
  const std::vector<uint8_t> jpeg = RowOf(*data->train, 2);
  for (size_t i = 0; i < jpeg.size(); ++i) EXPECT_NEAR(jpeg[i], 40 * (1 + i / 4), 2) << i;
}

TEST_F(ImageDataTest, AnArchiveHoldsWhatAFolderDoes) {
  Write(pets_);
  const auto folder = Open();
  ASSERT_TRUE(folder.ok()) << folder.status();
  Files packed = pets_;
  packed.insert(packed.begin(), {"train/", ""});
  packed.push_back({"__MACOSX/train/cat/._1.png", "junk"});
  for (const Packing packing : {Packing::kTar, Packing::kTarGz, Packing::kZip}) {
    WriteFile(folder_ / "pets", Archive(packed, packing));
    spec_.mutable_train()->set_inputs("pets");
    const auto data = Open();
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->train->inputs.view(), folder->train->inputs.view());
    EXPECT_EQ(data->train->classes, folder->train->classes);
    EXPECT_EQ(data->labels, folder->labels);
  }
}

TEST_F(ImageDataTest, LabelsOfTheSpecSayTheOrderOfClasses) {
  Write(pets_);
  spec_.add_labels("dog");
  spec_.add_labels("cat");
  EXPECT_THAT(Open()->train->classes, ElementsAre(1, 1, 0, 0));
}

TEST_F(ImageDataTest, MakesPicturesGrey) {
  Write(pets_);
  spec_.mutable_image()->set_channels(1);
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->input.shape, Shape({-1, 1, 2, 2}));
  EXPECT_THAT(RowOf(*data->train, 0), ElementsAre(76, 150, 29, 255));
}

TEST_F(ImageDataTest, CropsTheMiddleWhereItIsAsked) {
  // One row of four pixels: the middle two are white.
  Write({{"train/a/1.png", Png(1, 4, {0, 255, 255, 0}, PNG_FORMAT_GRAY)},
         {"train/b/1.png", Png(1, 4, {0, 255, 255, 0}, PNG_FORMAT_GRAY)}});
  spec_.mutable_image()->set_height(1);
  spec_.mutable_image()->set_channels(1);
  spec_.set_test_fraction(0.5);
  EXPECT_THAT(RowOf(*Open()->train, 0), ElementsAre(146, 146)) << "four pixels become two";
  spec_.mutable_image()->set_fit("crop");
  EXPECT_THAT(RowOf(*Open()->train, 0), ElementsAre(255, 255));
}

TEST_F(ImageDataTest, TransparentPixelsLieOnWhite) {
  Write({{"train/a/1.png", Png(1, 1, {9, 9, 9, 0}, PNG_FORMAT_RGBA)},
         {"train/b/1.png", Png(1, 1, {9, 9, 9, 255}, PNG_FORMAT_RGBA)}});
  spec_.set_test_fraction(0.5);
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->train, 0), Each(255));
  EXPECT_THAT(RowOf(*data->train, 1), Each(9));
}

TEST_F(ImageDataTest, NamesTheFileOfWhatIsWrong) {
  constexpr char kField[] = "spec.data.train.inputs: ";
  EXPECT_EQ(ErrorOf(), "the dataset has no file train");
  const std::string jpeg = Jpeg(50, 50, {1, 2, 3});
  // A header that promises more pixels than anybody has.
  std::string large = black_;
  large.replace(16, 8, std::string("\x00\x01\x00\x00\x00\x01\x00\x00", 8));
  const std::pair<std::string, std::string> table[] = {
      {"", "is no PNG or JPEG picture"},
      {"GIF89a", "is no PNG or JPEG picture"},
      {black_.substr(0, 40), "is a damaged PNG picture: "},
      {large, "is a damaged PNG picture: IHDR: CRC error"},
      {jpeg.substr(0, jpeg.size() / 2), "is a damaged JPEG picture, or one of a kind that is not"},
      {jpeg.substr(0, 10), "is a damaged JPEG picture, or one of a kind that is not"},
      {Jpeg(5, 5, {1, 2, 3, 4}), "is a damaged JPEG picture, or one of a kind that is not read: "},
      {Png(1, 1, {0, 0, 0}).replace(33, 4, "xxxx"), "is a damaged PNG picture: "},
  };
  Write(pets_);
  for (const auto& [bytes, error] : table) {
    WriteFile(folder_ / "train/cat/2.png", bytes);
    EXPECT_THAT(ErrorOf(), StartsWith(kField + std::string("train/cat/2.png: ") + error));
  }
  WriteFile(folder_ / "train/cat/2.png", black_);

  spec_.add_labels("cat");
  spec_.add_labels("cow");
  EXPECT_EQ(ErrorOf(),
            "spec.data.train.inputs: train/dog/1.jpg: its folder must be one of cat, cow, got "
            "\"dog\"");
  spec_.clear_labels();
  spec_.mutable_train()->set_inputs("pets");
  WriteFile(folder_ / "pets", Archive(pets_, Packing::kTarGz).substr(0, 300));
  EXPECT_THAT(ErrorOf(), StartsWith("spec.data.train.inputs: pets is no whole tar or zip archive"));
  WriteFile(folder_ / "pets", "neither");
  EXPECT_THAT(ErrorOf(), StartsWith("spec.data.train.inputs: pets is no whole tar or zip archive"));
  WriteFile(folder_ / "pets", Archive({{"empty/", ""}}, Packing::kZip));
  EXPECT_EQ(ErrorOf(), "spec.data.train.inputs: pets holds no pictures");
  WriteFile(folder_ / "pets", Archive({{"./1.png", black_}}, Packing::kTar));
  EXPECT_EQ(ErrorOf(),
            "spec.data.train.inputs: pets/1.png: its folder must be a class, and is empty");
  WriteFile(folder_ / "pets", Archive({{"cat/x.txt", "hello"}}, Packing::kTar));
  EXPECT_EQ(ErrorOf(), "spec.data.train.inputs: pets/cat/x.txt: is no PNG or JPEG picture");
}

class AugmentTest : public ::testing::Test {
 protected:
  // One channel of 4 by 4 pixels: 1, 2, 3, ...
  AugmentTest() {
    for (uint8_t i = 1; i <= 16; ++i) picture_.push_back(static_cast<char>(i));
  }
  std::vector<uint8_t> At(int64_t place, uint64_t seed = 1) const {
    const auto augmenter = Augmenter::Make(spec_, {"image", DataType::kUint8, {-1, 1, 4, 4}}, seed);
    EXPECT_TRUE(augmenter.ok()) << augmenter.status();
    Batch batch;
    batch.size = 1;
    batch.inputs = picture_;
    augmenter->Apply(place, batch);
    return {batch.inputs.begin(), batch.inputs.end()};
  }
  std::set<std::vector<uint8_t>> All() const {
    std::set<std::vector<uint8_t>> seen;
    for (int64_t place = 0; place < 1000; ++place) seen.insert(At(place));
    return seen;
  }

  training::v1::AugmentSpec spec_;
  std::vector<char> picture_;
};

TEST_F(AugmentTest, FlipsHalfOfThePictures) {
  spec_.set_flip(true);
  const std::vector<uint8_t> flipped = {4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13};
  int count = 0;
  for (int64_t place = 0; place < 1000; ++place) count += At(place) == flipped;
  EXPECT_NEAR(count, 500, 80);
  EXPECT_EQ(All().size(), 2u);
}

TEST_F(AugmentTest, ShiftsInEveryDirectionAndFillsWithBlack) {
  spec_.set_shift(1);
  const auto seen = All();
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_TRUE(seen.contains({0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11}));
  EXPECT_TRUE(seen.contains({6, 7, 8, 0, 10, 11, 12, 0, 14, 15, 16, 0, 0, 0, 0, 0}));
}

TEST_F(AugmentTest, CropsAPartAndScalesItUp) {
  spec_.set_crop(0.25);
  for (const auto& picture : All()) {
    // Rows and columns still rise, and nothing but the picture is seen.
    EXPECT_TRUE(std::is_sorted(picture.begin(), picture.begin() + 4));
    EXPECT_LE(picture[0], picture[15]);
    EXPECT_GE(picture[0], 1);
    EXPECT_LE(picture[15], 16);
  }
  EXPECT_GT(All().size(), 5u);
}

TEST_F(AugmentTest, SeedAndPlaceDecideAndNothingElse) {
  spec_.set_shift(2);
  spec_.set_flip(true);
  spec_.set_crop(0.5);
  bool differs = false;
  for (int64_t place = 0; place < 50; ++place) {
    EXPECT_EQ(At(place), At(place));
    differs |= At(place, 1) != At(place, 2);
  }
  EXPECT_TRUE(differs);
}

TEST_F(AugmentTest, IsForPicturesThatAreLargeEnough) {
  spec_.set_shift(4);
  EXPECT_EQ(Augmenter::Make(spec_, {"image", DataType::kUint8, {-1, 4, 9}}, 1).status().message(),
            "spec.data.augment.shift: must be less than 4, as the pictures are, got 4");
  EXPECT_EQ(Augmenter::Make(spec_, {"features", DataType::kFp32, {-1, 4}}, 1).status().message(),
            "spec.data.augment: is for pictures of bytes, and these inputs are FP32 [-1, 4]");
}

}  // namespace
}  // namespace slipway::trainer
