#include "common/sql/value.h"

#include <gtest/gtest.h>

namespace slipway::sql {
namespace {

TEST(ValueTest, TakesWhatCallersHoldByItsKind) {
  EXPECT_EQ(Value(7), Value(int64_t{7}));
  EXPECT_EQ(Value(true), Value(1));
  EXPECT_EQ(Value("text"), Value(std::string("text")));
  EXPECT_TRUE(Value(nullptr).is_null());
  EXPECT_TRUE(Value(std::optional<std::string>()).is_null());
  EXPECT_EQ(Value(std::optional<int64_t>(4)), Value(4));
  EXPECT_FALSE(Value("bytes") == Value(Blob{"bytes"}));
}

TEST(RowDeathTest, AbortsWhereAQueryAndItsReaderDisagree) {
  const Row row({Value("text"), Value(nullptr)});
  EXPECT_DEATH(row.GetInt(0), "field 0 was read as integer but holds text");
  EXPECT_DEATH(row.GetString(1), "field 1 was read as text but holds null");
  EXPECT_DEATH(row.GetString(2), "the row is shorter");
}

TEST(RowTest, ReadsAnIntegerAsADoubleAndNullAsNothing) {
  const Row row({Value(3), Value(nullptr), Value(2.5)});
  EXPECT_EQ(row.GetDouble(0), 3.0);
  EXPECT_EQ(row.GetDouble(2), 2.5);
  EXPECT_FALSE(row.GetOptionalString(1).has_value());
  EXPECT_FALSE(row.GetOptionalInt(1).has_value());
  EXPECT_EQ(row.GetOptionalInt(0), 3);
}

}  // namespace
}  // namespace slipway::sql
