#include "common/pipeline/condition.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
Tensor Column(DataType type, const std::vector<T>& values) {
  return Tensor::Make(
             "t", type, {std::ssize(values), 1},
             Buffer::Own({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)}),
             "t")
      .value();
}

// As a row of digits, for readable failures: "101".
std::string Ask(const std::string& text, const Tensor& tensor) {
  const auto condition = Condition::Parse(text, "when");
  if (!condition.ok()) return condition.status().ToString();
  const absl::Status fits =
      condition->CheckAgainst({tensor.name(), tensor.dtype(), {-1, 1}}, "when");
  if (!fits.ok()) return fits.ToString();
  std::string rows;
  for (const bool row : condition->Rows(tensor)) rows += row ? '1' : '0';
  return rows;
}

TEST(ConditionTest, AsksEachRow) {
  const Tensor scores = Column<float>(DataType::kFp32, {0.5F, 0.9F, 1.0F});
  const std::pair<const char*, const char*> cases[] = {
      {"a.score < 0.9", "100"},       {"a.score <= 0.9", "110"},         {"a.score > 0.9", "001"},
      {"a.score >= 0.9", "011"},      {"a.score == 0.9", "010"},         {"a.score != 0.9", "101"},
      {"a.score in [0.5, 1]", "101"}, {"a.score not in [0.5,1]", "010"}, {" a.score<1 ", "110"},
  };
  for (const auto& [text, rows] : cases) EXPECT_EQ(Ask(text, scores), rows) << text;
}

TEST(ConditionTest, AsksOfEveryTypeThatHasNumbersOrTexts) {
  EXPECT_EQ(Ask("a.x in [3]", Column<uint8_t>(DataType::kUint8, {3, 200})), "10");
  EXPECT_EQ(Ask("a.x > 199", Column<uint8_t>(DataType::kUint8, {3, 200})), "01");
  EXPECT_EQ(Ask("a.x < 0", Column<int8_t>(DataType::kInt8, {-1, 1})), "10");
  EXPECT_EQ(Ask("a.x == -7", Column<int16_t>(DataType::kInt16, {-7, 7})), "10");
  EXPECT_EQ(Ask("a.x >= 65535", Column<uint16_t>(DataType::kUint16, {65535, 1})), "10");
  EXPECT_EQ(Ask("a.x > -1", Column<int32_t>(DataType::kInt32, {-1, 0})), "01");
  EXPECT_EQ(Ask("a.x > -1", Column<uint32_t>(DataType::kUint32, {0, 1})), "11");
  EXPECT_EQ(Ask("a.x == 9007199254740993",
                Column<int64_t>(DataType::kInt64, {9007199254740993, 9007199254740992})),
            "10");
  EXPECT_EQ(
      Ask("a.x > 9223372036854775807", Column<uint64_t>(DataType::kUint64, {uint64_t{1} << 63, 1})),
      "10");
  EXPECT_EQ(Ask("a.x < 1e-3", Column<double>(DataType::kFp64, {1e-4, 1e-2})), "10");
  EXPECT_EQ(Ask("a.x == true", Column<uint8_t>(DataType::kBool, {1, 0})), "10");
  const Tensor texts = Tensor::Make("t", DataType::kBytes, {3, 1},
                                    Buffer::Own(EncodeTexts({"photo", "a, b", ""})), "t")
                           .value();
  EXPECT_EQ(Ask("inputs.kind == \"photo\"", texts), "100");
  EXPECT_EQ(Ask("inputs.kind in [\"a, b\", \"\"]", texts), "011");
}

TEST(ConditionTest, OfAConditionAndItsOppositeExactlyOneHolds) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor scores = Column<float>(DataType::kFp32, {nan, 0.5F});
  EXPECT_EQ(Ask("a.x < 0.9", scores), "01");
  EXPECT_EQ(Ask("a.x >= 0.9", scores), "10");
  EXPECT_EQ(Ask("a.x > 0.9", scores), "00");
  EXPECT_EQ(Ask("a.x <= 0.9", scores), "11");
  const auto less = Condition::Parse("a.x < 0.9", "when");
  const auto at_least = Condition::Parse("a.x >= 0.9", "when");
  EXPECT_TRUE(less->SameTest(*at_least));
  EXPECT_NE(less->negated(), at_least->negated());
  EXPECT_TRUE(
      Condition::Parse("a.x < 1", "when")->SameTest(*Condition::Parse("a.x >= 1.0", "when")));
  EXPECT_FALSE(less->SameTest(*Condition::Parse("a.x < 0.8", "when")));
  EXPECT_FALSE(less->SameTest(*Condition::Parse("b.x < 0.9", "when")));
}

TEST(ConditionTest, RefusesWhatItCannotAsk) {
  for (const char* text :
       {"", "a.x", "a.x <", "a.x < nan", "a.x < inf", "a.x < 1 2", "a.x = 1", "a.x < true",
        "a.x > \"b\"", "a.x in", "a.x in []", "a.x in [1,]", "a.x in 1", "a.x not 1", "a.x == \"b",
        "a.x == b", "a.x == 1e999", "a.x == \"a\"b\""}) {
    const auto condition = Condition::Parse(text, "steps[0].when");
    EXPECT_FALSE(condition.ok()) << text;
    EXPECT_EQ(FieldOf(condition.status()), "steps[0].when");
  }
  EXPECT_FALSE(Condition::Parse("a.x == " + std::string(Condition::kMaxBytes, '1'), "when").ok());
  std::string many = "a.x in [0";
  for (size_t i = 0; i < Condition::kMaxValues; ++i) many += ",1";
  EXPECT_FALSE(Condition::Parse(many + "]", "when").ok());
}

TEST(ConditionTest, RefusesTensorsThatHaveNoSuchValueForEachRow) {
  const auto check = [](const char* text, DataType type, const Shape& shape) {
    return std::string(
        Condition::Parse(text, "when")->CheckAgainst({"x", type, shape}, "when").message());
  };
  EXPECT_EQ(check("a.x < 1", DataType::kFp32, {-1}), "");
  EXPECT_EQ(check("a.x < 1", DataType::kFp32, {-1, 1, 1}), "");
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{-1, 10}, Shape{-1, -1}}) {
    EXPECT_THAT(check("a.x < 1", DataType::kFp32, shape), HasSubstr("one value of each row"));
  }
  EXPECT_THAT(check("a.x < 0.5", DataType::kInt64, {-1}), HasSubstr("a.x is INT64"));
  EXPECT_THAT(check("a.x == 1", DataType::kBool, {-1}), HasSubstr("BOOL"));
  EXPECT_THAT(check("a.x == 1", DataType::kBytes, {-1}), HasSubstr("BYTES"));
  EXPECT_THAT(check("a.x in [1, \"b\"]", DataType::kFp32, {-1}), HasSubstr("FP32"));
  EXPECT_THAT(check("a.x < 1", DataType::kFp16, {-1}), HasSubstr("FP16"));
  EXPECT_THAT(check("a.x < 1", DataType::kBf16, {-1}), HasSubstr("BF16"));
}

}  // namespace
}  // namespace slipway::pipeline
