#include "common/tensor/tensor.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

TEST(DataTypeTest, EveryNameParsesBack) {
  for (const DataType type : kAllDataTypes) EXPECT_EQ(ParseDataType(DataTypeName(type)), type);
  EXPECT_EQ(ParseDataType("fp32"), std::nullopt);
  EXPECT_EQ(ParseDataType(""), std::nullopt);
}

TEST(DataTypeTest, SizesAreTheProtocols) {
  EXPECT_EQ(ElementSize(DataType::kBool), 1u);
  EXPECT_EQ(ElementSize(DataType::kBf16), 2u);
  EXPECT_EQ(ElementSize(DataType::kFp32), 4u);
  EXPECT_EQ(ElementSize(DataType::kUint64), 8u);
  EXPECT_EQ(ElementSize(DataType::kBytes), 0u);
}

TEST(ShapeTest, CountsElementsAndBytes) {
  EXPECT_EQ(Shape().ElementCount("x").value(), 1);
  EXPECT_EQ((Shape{2, 3, 4}).ElementCount("x").value(), 24);
  EXPECT_EQ((Shape{2, 0, 4}).ElementCount("x").value(), 0);
  EXPECT_EQ((Shape{2, 3}).ByteCount(DataType::kFp64, "x").value(), 48);
  EXPECT_EQ((Shape{kHuge}).ElementCount("x").value(), kHuge);
}

TEST(ShapeTest, RefusesProductsThatPass63Bits) {
  for (const Shape& shape : {Shape{16, (int64_t{1} << 60) + 2}, Shape{kHuge, 2},
                             Shape{int64_t{1} << 32, int64_t{1} << 32}, Shape{0, kHuge, 2}}) {
    const absl::Status status = shape.ElementCount("inputs[0].shape").status();
    EXPECT_EQ(FieldOf(status), "inputs[0].shape") << shape.ToString();
    EXPECT_THAT(std::string(status.message()), HasSubstr("too many elements"));
  }
  EXPECT_FALSE((Shape{kHuge / 4}).ByteCount(DataType::kFp64, "x").ok());
  EXPECT_TRUE((Shape{kHuge / 8}).ByteCount(DataType::kFp64, "x").ok());
}

TEST(ShapeTest, RefusesNegativeAndTooManyDimensions) {
  EXPECT_THAT(std::string((Shape{2, -1}).ElementCount("x").status().message()),
              HasSubstr("[2, -1] has a negative dimension"));
  EXPECT_FALSE(Shape(std::vector<int64_t>(17, 1)).ElementCount("x").ok());
  EXPECT_TRUE(Shape(std::vector<int64_t>(16, 1)).ElementCount("x").ok());
}

TEST(TensorSpecTest, TakesAnySizeWhereTheSpecIsFree) {
  const TensorSpec spec{"image", DataType::kUint8, {-1, 28, 28}};
  EXPECT_TRUE(spec.CheckShape({0, 28, 28}, "x").ok());
  EXPECT_TRUE(spec.CheckShape({5, 28, 28}, "x").ok());
  EXPECT_EQ(spec.CheckShape({5, 28, 27}, "inputs[0].shape").message(),
            "inputs[0].shape: must be [-1, 28, 28], got [5, 28, 27]");
  EXPECT_FALSE(spec.CheckShape({28, 28}, "x").ok());
  EXPECT_FALSE(spec.CheckShape({-5, 28, 28}, "x").ok());
}

TEST(TensorTest, DataMustBeAsLongAsTypeAndShapeSay) {
  const auto tensor =
      Tensor::Make("x", DataType::kFp32, {2, 2}, Buffer::Own(std::string(16, '\0')), "inputs[0]");
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->element_count(), 4);
  EXPECT_EQ(Tensor::Make("x", DataType::kFp32, {2, 2}, Buffer::Own("abc"), "inputs[0]")
                .status()
                .message(),
            "inputs[0]: FP32 of shape [2, 2] takes 16 bytes, got 3");
  EXPECT_EQ(
      FieldOf(Tensor::Make("x", DataType::kFp32, {-2}, Buffer::Own(""), "inputs[0]").status()),
      "inputs[0].shape");
}

TEST(TensorTest, NamesWhatDiffersFromTheSpec) {
  const TensorSpec spec{"image", DataType::kUint8, {-1, 2}};
  const auto make = [](std::string name, DataType type, Shape shape) {
    const int64_t bytes = shape.ByteCount(type, "x").value();
    return Tensor::Make(std::move(name), type, std::move(shape),
                        Buffer::Own(std::string(static_cast<size_t>(bytes), '\0')), "x")
        .value();
  };
  EXPECT_TRUE(make("image", DataType::kUint8, {7, 2}).CheckAgainst(spec, "inputs[0]").ok());
  EXPECT_EQ(make("picture", DataType::kUint8, {7, 2}).CheckAgainst(spec, "inputs[0]").message(),
            "inputs[0].name: must be image, got picture");
  EXPECT_EQ(make("image", DataType::kInt8, {7, 2}).CheckAgainst(spec, "inputs[0]").message(),
            "inputs[0].datatype: must be UINT8, got INT8");
  EXPECT_EQ(make("image", DataType::kUint8, {7, 3}).CheckAgainst(spec, "inputs[0]").message(),
            "inputs[0].shape: must be [-1, 2], got [7, 3]");
}

TEST(TensorTest, ChecksThatTextsAddUp) {
  const std::string data = EncodeTexts({"one", "", std::string("\0two", 4)});
  const auto make = [](std::string bytes, int64_t count) {
    return Tensor::Make("t", DataType::kBytes, {count}, Buffer::Own(std::move(bytes)), "inputs[0]");
  };
  ASSERT_TRUE(make(data, 3).ok());
  EXPECT_THAT(make(data, 3)->Texts(), ElementsAre("one", "", std::string_view("\0two", 4)));
  EXPECT_THAT(std::string(make(data, 2).status().message()), HasSubstr("8 bytes after its 2"));
  EXPECT_THAT(std::string(make(data, 5).status().message()), HasSubstr("fewer than 5"));
  EXPECT_THAT(std::string(make(data.substr(0, data.size() - 1), 3).status().message()),
              HasSubstr("ends within BYTES element 2"));
  EXPECT_FALSE(make("\xff\xff\xff\xff", 1).ok());
  EXPECT_FALSE(make("", kHuge).ok());
}

TEST(BufferTest, KeepsItsOwnerAlive) {
  auto owner = std::make_shared<const std::string>("content");
  const std::weak_ptr<const std::string> watch = owner;
  Buffer part = Buffer::Share(*owner, owner).Slice(3, 4);
  owner.reset();
  EXPECT_EQ(part.view(), "tent");
  part = Buffer();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace slipway
