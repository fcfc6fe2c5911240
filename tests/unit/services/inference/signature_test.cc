#include "services/inference/signature.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::HasSubstr;

TEST(ZeroInputsTest, FitTheSignatureWithOneRow) {
  const Signature signature = {{{"x", DataType::kFp32, {-1, 3, -1}},
                                {"text", DataType::kBytes, {-1, 2}},
                                {"scalar", DataType::kInt64, {}}},
                               {}};
  const auto inputs = ZeroInputs(signature);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  EXPECT_EQ((*inputs)[0].shape(), Shape({1, 3, 1}));
  EXPECT_THAT((*inputs)[1].Texts(), testing::ElementsAre("", ""));
  EXPECT_EQ((*inputs)[2].data().size(), 8u);
}

TEST(ZeroInputsTest, AShapeBeyondMemoryIsAnErrorAndNoAllocation) {
  for (const int64_t dim : {int64_t{1} << 40, int64_t{1} << 62}) {
    const Signature signature = {{{"x", DataType::kFp32, {-1, dim}}}, {}};
    EXPECT_TRUE(absl::IsInvalidArgument(ZeroInputs(signature).status()));
  }
}

TEST(CheckSameSignatureTest, NamesTheFirstTensorThatDiffers) {
  const Signature actual = {{{"x", DataType::kFp32, {-1, 2}}}, {{"y", DataType::kFp32, {-1, 1}}}};
  EXPECT_TRUE(CheckSameSignature(actual, actual).ok());
  EXPECT_TRUE(CheckSameSignature({}, actual).ok());
  Signature registered = actual;
  registered.outputs[0].dtype = DataType::kInt64;
  EXPECT_THAT(std::string(CheckSameSignature(registered, actual).message()),
              HasSubstr("outputs[0] was registered as y INT64 [-1, 1]"));
  registered.outputs.clear();
  EXPECT_THAT(std::string(CheckSameSignature(registered, actual).message()),
              HasSubstr("registered with 0 outputs, its files have 1"));
}

TEST(CheckOutputsTest, AModelThatBreaksItsSignatureIsBroken) {
  const Signature signature = {{}, {{"y", DataType::kFp32, {-1, 1}}}};
  const Tensor wrong =
      *Tensor::Make("y", DataType::kFp32, {1, 2}, Buffer::Own(std::string(8, '\0')), "y");
  EXPECT_TRUE(absl::IsInternal(CheckOutputs(signature, {})));
  EXPECT_TRUE(absl::IsInternal(CheckOutputs(signature, {wrong})));
}

}  // namespace
}  // namespace slipway::worker
