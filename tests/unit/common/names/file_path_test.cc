#include "common/names/file_path.h"

#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(FilePathTest, IsWhatTheRuleSays) {
  for (const char* good : {"a", "a/b.csv", ".a", "..a", "a b", "\xc3\xa9"}) {
    EXPECT_TRUE(CheckFilePath("path", good).ok()) << good;
  }
  EXPECT_TRUE(CheckFilePath("path", std::string(512, 'a')).ok());
  for (const char* bad :
       {"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/../b", "a\\b", "a\nb", "a\x7f"}) {
    const absl::Status status = CheckFilePath("path", bad);
    EXPECT_EQ(FieldOf(status), "path") << bad;
  }
  EXPECT_FALSE(CheckFilePath("path", std::string_view("a\0", 2)).ok());
  EXPECT_FALSE(CheckFilePath("path", std::string(513, 'a')).ok());
}

}  // namespace
}  // namespace slipway
