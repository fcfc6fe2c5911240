#include "services/inference/precision_check.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/nn/model_description.h"
#include "common/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

using ::testing::HasSubstr;

Tensor Floats(const std::string& name, Shape shape, const std::vector<float>& values) {
  return Tensor::Make(name, DataType::kFp32, std::move(shape),
                      Buffer::Own({reinterpret_cast<const char*>(values.data()),
                                   values.size() * sizeof(float)}),
                      name)
      .value();
}

// Answers the same whatever it is asked.
class ConstantModel final : public LoadedModel {
 public:
  explicit ConstantModel(TensorBatch answer) : answer_(std::move(answer)) {}
  std::string_view platform() const override { return "constant"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch&, absl::Time) const override { return answer_; }

 private:
  const Signature signature_;
  const TensorBatch answer_;
};

const TensorBatch kThreeSamples = {Floats("x", {3, 1}, {1, 2, 3})};

TEST(ComparePrecisionTest, ReportsTheLargestDifferenceAndTheChangedLabels) {
  const ConstantModel full({Floats("y", {3, 2}, {0.9F, 0.1F, 0.4F, 0.6F, 0.51F, 0.49F})});
  const ConstantModel low({Floats("y", {3, 2}, {0.8F, 0.2F, 0.4F, 0.6F, 0.5F, 0.52F})});
  const auto check = ComparePrecision(full, low, kThreeSamples);
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->samples, 3);
  EXPECT_NEAR(check->largest_difference, 0.1, 1e-6);
  EXPECT_EQ(check->changed_labels, 1);
}

TEST(ComparePrecisionTest, ASampleWhoseLabelChangesInTwoOutputsCountsOnce) {
  const Tensor left = Floats("a", {3, 2}, {1, 0, 1, 0, 1, 0});
  const Tensor right = Floats("a", {3, 2}, {0, 1, 1, 0, 1, 0});
  const auto check =
      ComparePrecision(ConstantModel({left, left}), ConstantModel({right, right}), kThreeSamples);
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->changed_labels, 1);
}

TEST(ComparePrecisionTest, OneNumberASampleIsNoLabel) {
  const auto check =
      ComparePrecision(ConstantModel({Floats("y", {3, 1}, {1, 2, 3})}),
                       ConstantModel({Floats("y", {3, 1}, {1, 2, 4})}), kThreeSamples);
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->largest_difference, 1);
  EXPECT_EQ(check->changed_labels, 0);
}

TEST(ComparePrecisionTest, AnOverflowIsRefused) {
  const float huge = std::numeric_limits<float>::infinity();
  const auto check =
      ComparePrecision(ConstantModel({Floats("y", {3, 1}, {1, 2, 3})}),
                       ConstantModel({Floats("y", {3, 1}, {1, huge, 3})}), kThreeSamples);
  EXPECT_TRUE(absl::IsFailedPrecondition(check.status()));
  EXPECT_THAT(std::string(check.status().message()), HasSubstr("\"y\""));
}

class ReadSamplesTest : public ::testing::Test {
 protected:
  ModelSource Write(const std::vector<Tensor>& tensors) {
    const std::string path = dir_ / "samples";
    EXPECT_TRUE(WriteSafetensors(path, tensors).ok());
    return {.format = "onnx", .files = {{std::string(nn::kSamplesFile), path}}};
  }
  const TempDir dir_;
  const Signature signature_ = {{{"b", DataType::kFp32, {-1, 2}}, {"a", DataType::kFp32, {-1, 1}}},
                                {}};
};

TEST_F(ReadSamplesTest, GivesThemInTheSignaturesOrder) {
  const auto samples = ReadSamples(
      Write({Floats("a", {2, 1}, {1, 2}), Floats("b", {2, 2}, {1, 2, 3, 4})}), signature_);
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ((*samples)[0].name(), "b");
  EXPECT_EQ((*samples)[1].name(), "a");
}

TEST_F(ReadSamplesTest, AVersionWithoutAnySaysWhatToAdd) {
  const auto samples = ReadSamples({.format = "onnx", .files = {}}, signature_);
  EXPECT_TRUE(absl::IsFailedPrecondition(samples.status()));
  EXPECT_THAT(std::string(samples.status().message()), HasSubstr("samples.safetensors"));
}

TEST_F(ReadSamplesTest, RefusesSamplesOfAnotherModelByName) {
  const auto missing = ReadSamples(Write({Floats("a", {2, 1}, {1, 2})}), signature_);
  EXPECT_TRUE(absl::IsInvalidArgument(missing.status()));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("\"b\""));
  const auto misfit = ReadSamples(
      Write({Floats("a", {2, 1}, {1, 2}), Floats("b", {2, 3}, {1, 2, 3, 4, 5, 6})}), signature_);
  EXPECT_TRUE(absl::IsInvalidArgument(misfit.status()));
  EXPECT_THAT(std::string(misfit.status().message()), HasSubstr("samples.safetensors: "));
}

}  // namespace
}  // namespace slipway::worker
