#include "services/inference/batching/batch_tensors.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

Tensor Make(const std::string& name, DataType type, Shape shape, std::string bytes) {
  return *Tensor::Make(name, type, std::move(shape), Buffer::Own(std::move(bytes)), name);
}

// One call: "x" UINT8 [rows, 2] and "t" BYTES [rows, 1].
TensorBatch Call(const std::string& bytes, const std::vector<std::string>& texts) {
  const auto rows = static_cast<int64_t>(texts.size());
  return {Make("x", DataType::kUint8, {rows, 2}, bytes),
          Make("t", DataType::kBytes, {rows, 1}, EncodeTexts(texts))};
}

TEST(BatchTensorsTest, RowsGoTogetherAndComeApartAgain) {
  const TensorBatch a = Call("abcd", {"one", ""});
  const TensorBatch b = Call("ef", {"three"});
  const TensorBatch c = Call("", {});
  const TensorBatch* calls[] = {&a, &b, &c};
  const auto batch = Gather(calls);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ((*batch)[0].shape(), Shape({3, 2}));
  EXPECT_EQ((*batch)[0].data().view(), "abcdef");
  EXPECT_THAT((*batch)[1].Texts(), ElementsAre("one", "", "three"));

  const int64_t rows[] = {2, 1, 0};
  const auto apart = Scatter(*batch, rows);
  ASSERT_TRUE(apart.ok()) << apart.status();
  for (size_t i = 0; i < 3; ++i) {
    for (size_t tensor = 0; tensor < 2; ++tensor) {
      EXPECT_EQ((*apart)[i][tensor].name(), (*calls[i])[tensor].name());
      EXPECT_EQ((*apart)[i][tensor].shape(), (*calls[i])[tensor].shape());
      EXPECT_EQ((*apart)[i][tensor].data().view(), (*calls[i])[tensor].data().view());
    }
  }
}

TEST(BatchTensorsTest, AnOutputWithoutARowForEachInputIsTheModelsFault) {
  const TensorBatch batch = {Make("y", DataType::kUint8, {3, 1}, "abc")};
  const int64_t rows[] = {1, 1};
  EXPECT_TRUE(absl::IsInternal(Scatter(batch, rows).status()));
  const TensorBatch scalar = {Make("y", DataType::kUint8, Shape(), "a")};
  EXPECT_TRUE(absl::IsInternal(Scatter(scalar, rows).status()));
}

}  // namespace
}  // namespace slipway::worker
