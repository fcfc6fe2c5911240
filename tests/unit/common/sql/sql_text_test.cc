#include "common/sql/sql_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SqlTextTest, NumbersParametersFromOne) {
  const StatementText text = NumberParameters("SELECT a FROM t WHERE b = ? AND c IN (?,?)");
  EXPECT_EQ(text.text, "SELECT a FROM t WHERE b = :p1 AND c IN (:p2,:p3)");
  EXPECT_EQ(text.parameters, 3);
}

TEST(SqlTextTest, LeavesQuestionMarksInLiteralsNamesAndCommentsAlone) {
  const StatementText text =
      NumberParameters("SELECT 'it''s ?', \"odd?\" -- what's ?\n/* ? ' */ FROM t WHERE a = ?");
  EXPECT_EQ(text.text, "SELECT 'it''s ?', \"odd?\"    FROM t WHERE a = :p1");
  EXPECT_EQ(text.parameters, 1);
}

TEST(SqlTextTest, TakesALiteralThatDoesNotEndToTheEndOfTheText) {
  EXPECT_EQ(NumberParameters("SELECT 'a ? b").parameters, 0);
  EXPECT_EQ(NumberParameters("SELECT 1 /* ?").parameters, 0);
}

TEST(SqlTextTest, DividesAScriptAtSemicolonsOutsideLiterals) {
  EXPECT_THAT(
      SplitStatements("CREATE TABLE a (b TEXT DEFAULT ';'); -- one; two\n; ;\nDROP TABLE c"),
      ElementsAre("CREATE TABLE a (b TEXT DEFAULT ';')", "\nDROP TABLE c"));
  EXPECT_THAT(SplitStatements(" ;\n-- nothing\n"), IsEmpty());
}

}  // namespace
}  // namespace slipway::sql
