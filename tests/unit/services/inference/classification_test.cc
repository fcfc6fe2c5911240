#include "services/inference/classification.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

template <class T>
Tensor Make(DataType type, Shape shape, const std::vector<T>& values) {
  return *Tensor::Make("scores", type, std::move(shape),
                       Buffer::Own(std::string(reinterpret_cast<const char*>(values.data()),
                                               values.size() * sizeof(T))),
                       "");
}

TEST(TopClassesTest, AnswersTheBestOfEachRowHighestFirst) {
  const auto top = TopClasses(Make<float>(DataType::kFp32, {2, 3}, {0.25F, 0.5F, 0.125F, 7, -1, 8}),
                              true, 2, {"a", "b"});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(top->name(), "scores");
  EXPECT_EQ(top->shape(), Shape({2, 2}));
  EXPECT_THAT(top->Texts(),
              ElementsAre("0.500000:1:b", "0.250000:0:a", "8.000000:2", "7.000000:0:a"));
}

TEST(TopClassesTest, AnswersAllClassesWhereMoreAreAskedFor) {
  const auto top = TopClasses(Make<int32_t>(DataType::kInt32, {3}, {1, 3, 2}), false, 99, {});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(top->shape(), Shape({3}));
  EXPECT_THAT(top->Texts(), ElementsAre("3:1", "2:2", "1:0"));
}

TEST(TopClassesTest, PutsTheLowerIndexFirstAmongEqualsAndNotANumberLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto top = TopClasses(Make<float>(DataType::kFp32, {1, 4}, {nan, 1, 1, -2}), true, 4, {});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_THAT(top->Texts(), ElementsAre("1.000000:1", "1.000000:2", "-2.000000:3", "nan:0"));
}

TEST(TopClassesTest, ReadsHalfPrecision) {
  // 1.5, -2, the smallest number there is, infinity.
  EXPECT_THAT(TopClasses(Make<uint16_t>(DataType::kFp16, {4}, {0x3e00, 0xc000, 0x0001, 0x7c00}),
                         false, 4, {})
                  ->Texts(),
              ElementsAre("inf:3", "1.500000:0", "0.000000:2", "-2.000000:1"));
  EXPECT_THAT(
      TopClasses(Make<uint16_t>(DataType::kBf16, {2}, {0x3fc0, 0xc000}), false, 2, {})->Texts(),
      ElementsAre("1.500000:0", "-2.000000:1"));
}

TEST(TopClassesTest, ComparesWholeNumbersWithoutRoundingThem) {
  const int64_t big = (int64_t{1} << 53) + 1;
  EXPECT_THAT(
      TopClasses(Make<int64_t>(DataType::kInt64, {2}, {big - 1, big}), false, 1, {})->Texts(),
      ElementsAre("9007199254740993:1"));
}

TEST(TopClassesTest, RefusesWhatHasNoOrder) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      TopClasses(Make<uint8_t>(DataType::kBool, {2}, {0, 1}), false, 1, {}).status()));
}

}  // namespace
}  // namespace slipway::worker
