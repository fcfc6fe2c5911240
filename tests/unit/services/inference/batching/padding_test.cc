#include "services/inference/batching/padding.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Axis = PaddingRule::Axis;

// A language model's: tokens and a mask of one length, a vector a token and one a row.
const Signature kText = {
    {{"tokens", DataType::kInt64, {-1, -1}}, {"mask", DataType::kFp32, {-1, -1}}},
    {{"states", DataType::kFp32, {-1, -1, 8}}, {"score", DataType::kFp32, {-1, 2}}}};

absl::StatusOr<Padding> Make(std::vector<Axis> axes, const Signature& signature = kText) {
  return Padding::Make({{.axes = std::move(axes)}}, signature, "padding");
}
Padding TextPadding(std::vector<int64_t> buckets) {
  return *Padding::Make({{.axes = {{"tokens"}, {"mask"}, {"states"}}, .buckets = buckets}}, kText,
                        "padding");
}

TEST(PaddingTest, WhatTheSignatureDoesNotHaveIsRefusedNamingTheField) {
  const auto field = [](std::vector<Axis> axes) { return FieldOf(Make(std::move(axes)).status()); };
  EXPECT_EQ(field({{"tokens"}, {"mask"}, {"states"}}), "");
  EXPECT_EQ(field({{"token"}}), "padding[0].axes[0].tensor");
  EXPECT_EQ(field({{"tokens", 2}}), "padding[0].axes[0].axis");
  EXPECT_EQ(field({{"tokens"}, {"states", 2}}), "padding[0].axes[1].axis") << "it is 8";
  EXPECT_EQ(field({{"states"}}), "padding[0].axes") << "no input";
  EXPECT_EQ(field({{"tokens"}, {"states", 1, 3}}), "padding[0].axes[1].value");
}

TEST(PaddingTest, AnOutputThatCouldNotBeCutBackIsRefused) {
  const absl::Status status = Make({{"tokens"}, {"mask"}}).status();
  EXPECT_EQ(FieldOf(status), "padding");
  EXPECT_THAT(std::string(status.message()), HasSubstr("states FP32 [-1, -1, 8]"));
  // It may have the mask's length, which calls of one batch have in common then.
  EXPECT_TRUE(Make({{"tokens"}}).ok());
}

TEST(PaddingTest, AModelThatTakesNoBatchesIsNotPadded) {
  const Signature one = {{{"tokens", DataType::kInt64, {1, -1}}},
                         {{"score", DataType::kFp32, {1, 2}}}};
  EXPECT_EQ(FieldOf(Make({{"tokens"}}, one).status()), "padding");
}

TEST(PaddingTest, AValueMustBeOneOfTheTensorsType) {
  const auto fill = [](DataType type, double value) -> std::string {
    const Signature signature = {{{"x", type, {-1, -1}}}, {{"y", DataType::kFp32, {-1}}}};
    const auto made = Make({{"x", 1, value}}, signature);
    return made.ok() ? made->inputs()[0].fill : FieldOf(made.status());
  };
  const std::string refused = "padding[0].axes[0].value";
  EXPECT_EQ(fill(DataType::kInt64, -100), std::string("\x9c\xff\xff\xff\xff\xff\xff\xff", 8));
  EXPECT_EQ(fill(DataType::kInt64, 0.5), refused);
  EXPECT_EQ(fill(DataType::kInt64, 9.3e18), refused);
  EXPECT_EQ(fill(DataType::kInt64, NAN), refused);
  EXPECT_EQ(fill(DataType::kUint8, 255), "\xff");
  EXPECT_EQ(fill(DataType::kUint8, 256), refused);
  EXPECT_EQ(fill(DataType::kUint8, -1), refused);
  EXPECT_EQ(fill(DataType::kInt8, -128), "\x80");
  EXPECT_EQ(fill(DataType::kBool, 1), "\x01");
  EXPECT_EQ(fill(DataType::kBool, 2), refused);
  EXPECT_EQ(fill(DataType::kFp32, 1), std::string("\0\0\x80\x3f", 4));
  EXPECT_EQ(fill(DataType::kFp32, -INFINITY), std::string("\0\0\x80\xff", 4));
  EXPECT_EQ(fill(DataType::kFp32, 1e39), refused);
  EXPECT_EQ(fill(DataType::kFp16, 0), std::string(2, '\0'));
  EXPECT_EQ(fill(DataType::kFp16, 1), refused);
  EXPECT_EQ(fill(DataType::kBytes, 0), "padding[0].axes[0].tensor");
}

TEST(PaddingTest, OneTensorIsFilledUpWithOneValue) {
  const Signature picture = {{{"x", DataType::kFp32, {-1, 3, -1, -1}}},
                             {{"y", DataType::kFp32, {-1, 10}}}};
  const auto make = [&](double second) {
    return Padding::Make({{.axes = {{"x", 2, 1}}}, {.axes = {{"x", 3, second}}}}, picture,
                         "padding");
  };
  EXPECT_TRUE(make(1).ok());
  EXPECT_EQ(FieldOf(make(2).status()), "padding[1].axes[0].value");
}

TEST(PaddingTest, InputsThatDifferInLengthOrAreEmptyAreNotPadded) {
  const auto lengths = [](int64_t tokens, int64_t mask) {
    const auto tensor = [](const char* name, DataType type, int64_t length) {
      const std::string zeros(static_cast<size_t>(length) * ElementSize(type), '\0');
      return *Tensor::Make(name, type, {1, length}, Buffer::Own(zeros), name);
    };
    return TextPadding({}).LengthsOf(
        {tensor("tokens", DataType::kInt64, tokens), tensor("mask", DataType::kFp32, mask)});
  };
  EXPECT_THAT(lengths(5, 5), ElementsAre(5));
  EXPECT_THAT(lengths(5, 1), IsEmpty());
  EXPECT_THAT(lengths(0, 0), IsEmpty());
}

TEST(PaddingTest, ABucketIsTakenWhereItIsNotMoreThanTwiceTheLength) {
  const Padding padding = TextPadding({16, 64});
  EXPECT_THAT(padding.RoundUp({7}), ElementsAre(7));
  EXPECT_THAT(padding.RoundUp({8}), ElementsAre(16));
  EXPECT_THAT(padding.RoundUp({16}), ElementsAre(16));
  EXPECT_THAT(padding.RoundUp({17}), ElementsAre(17));
  EXPECT_THAT(padding.RoundUp({32}), ElementsAre(64));
  EXPECT_THAT(padding.RoundUp({65}), ElementsAre(65));
  EXPECT_THAT(TextPadding({}).RoundUp({5}), ElementsAre(5));
}

}  // namespace
}  // namespace slipway::worker
