#include "services/inference/raw_rows_runtime.h"

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsNan;

Tensor Floats(const std::string& name, Shape shape, const std::vector<float>& values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return Tensor::Make(name, DataType::kFp32, std::move(shape), Buffer::Own(std::move(bytes)), name)
      .value();
}

std::vector<float> ToFloats(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.element_count()));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  return values;
}

// Answers what it is given, but for NaN, which it takes for 7: so do some instructions.
class EchoModel final : public LoadedModel {
 public:
  explicit EchoModel(int64_t width) {
    signature_.inputs = {{"encoded", DataType::kFp32, {-1, width}}};
    signature_.outputs = {{"prediction", DataType::kFp32, {-1, width}}};
  }
  std::string_view platform() const override { return "echo"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 1; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    std::vector<float> values = ToFloats(inputs[0]);
    for (float& value : values) {
      if (value != value) value = 7;
    }
    return TensorBatch{Floats("prediction", inputs[0].shape(), values)};
  }

 private:
  Signature signature_;
};

class EchoRuntime final : public ModelRuntime {
 public:
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource&) override {
    return std::make_shared<const EchoModel>(3);
  }
};

class RawRowsRuntimeTest : public ::testing::Test {
 protected:
  // A version of ours that was trained on a table, or on rows as they come.
  ModelSource Source(bool table) {
    nn::ModelDescription description;
    description.input = {"features", DataType::kFp32, {-1, 3}};
    if (table) {
      description.table = nn::Table::Parse(nlohmann::json::parse(R"([
            {"type": "number", "name": "x", "center": 1, "spread": 2},
            {"type": "category", "name": "c", "encoding": "one_hot", "values": ["a", "b"]}])"),
                                           "table")
                              .value();
      description.input = description.table->encoded();
    }
    description.output = nn::OutputOf(nn::Task::kClassification, 2);
    description.architecture =
        nn::ParseArchitecture(nlohmann::json::parse(R"({"type": "mlp", "hidden": [4]})"), "a")
            .value();
    EXPECT_TRUE(WriteFileAtomically(folder_ / "architecture.json", description.Print()).ok());
    return {.format = "slipway", .files = {{"architecture.json", folder_ / "architecture.json"}}};
  }

  TempDir folder_;
  EchoRuntime network_;
  RawRowsRuntime runtime_{network_};
};

TEST_F(RawRowsRuntimeTest, TakesRawRowsAndHandsOnEncodedOnes) {
  const auto model = runtime_.Load(Source(true));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->platform(), "echo");
  EXPECT_THAT((*model)->signature().inputs,
              ElementsAre(TensorSpec{"features", DataType::kFp32, {-1, 1}},
                          TensorSpec{"texts", DataType::kBytes, {-1, 1}}));
  const Tensor texts =
      Tensor::Make("texts", DataType::kBytes, {2, 1}, Buffer::Own(EncodeTexts({"b", "z"})), "t")
          .value();
  const auto answer =
      (*model)->Run({Floats("features", {2, 1}, {5, 1}), texts}, absl::InfiniteFuture());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(ToFloats((*answer)[0]), ElementsAre(2, 0, 1, 0, 0, 0));
}

TEST_F(RawRowsRuntimeTest, ARowThatCannotBeEncodedGetsNaNAndNoOtherRowNotices) {
  const auto model = runtime_.Load(Source(true));
  ASSERT_TRUE(model.ok()) << model.status();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor texts =
      Tensor::Make("texts", DataType::kBytes, {3, 1}, Buffer::Own(EncodeTexts({"b", "", "a"})), "t")
          .value();
  const auto answer =
      (*model)->Run({Floats("features", {3, 1}, {nan, 1, 1}), texts}, absl::InfiniteFuture());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(ToFloats((*answer)[0]),
              ElementsAre(IsNan(), IsNan(), IsNan(), IsNan(), IsNan(), IsNan(), 0, 1, 0));
}

TEST_F(RawRowsRuntimeTest, LeavesOtherModelsAsTheyAre) {
  EXPECT_EQ((*runtime_.Load(Source(false)))->signature().inputs[0].name, "encoded");
  EXPECT_EQ((*runtime_.Load({.format = "onnx", .files = {}}))->signature().inputs[0].name,
            "encoded");
}

TEST_F(RawRowsRuntimeTest, RefusesRowsThatDoNotFit) {
  const auto model = runtime_.Load(Source(true));
  const auto answer = (*model)->Run({Floats("features", {2, 1}, {5, 1})}, absl::InfiniteFuture());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace slipway::worker
