#include "services/cli/idx.h"

#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway::cli {
namespace {

// Three pictures of 1 x 2.
const std::string kPictures(
    "\0\0\x08\x03\0\0\0\x03\0\0\0\x01\0\0\0\x02"
    "abcdef",
    22);

class IdxTest : public testing::Test {
 protected:
  std::string Write(const std::string& bytes) {
    const std::string path = dir_ / "pictures.idx";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return path;
  }
  TempDir dir_;
};

TEST_F(IdxTest, ReadsTheItemsAskedFor) {
  const auto idx = ReadIdx(Write(kPictures), {2, 0});
  ASSERT_TRUE(idx.ok()) << idx.status();
  EXPECT_EQ(idx->shape, (std::vector<int64_t>{3, 1, 2}));
  EXPECT_EQ(idx->items, (std::vector<std::vector<uint8_t>>{{'e', 'f'}, {'a', 'b'}}));
}

TEST_F(IdxTest, RefusesEveryTruncation) {
  for (size_t size = 0; size < kPictures.size(); ++size) {
    const auto idx = ReadIdx(Write(kPictures.substr(0, size)), {2});
    EXPECT_TRUE(absl::IsInvalidArgument(idx.status())) << size;
  }
}

TEST_F(IdxTest, NamesAnIndexPastTheEnd) {
  const auto idx = ReadIdx(Write(kPictures), {3});
  EXPECT_EQ(FieldOf(idx.status()), "--index");
}

TEST_F(IdxTest, RefusesSizesThatNoFileCanHold) {
  const auto idx = ReadIdx(
      Write(std::string("\0\0\x08\x03\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xff", 16)), {0});
  EXPECT_TRUE(absl::IsInvalidArgument(idx.status())) << idx.status();
}

TEST_F(IdxTest, RefusesWhatIsNoIdxFile) {
  EXPECT_TRUE(absl::IsInvalidArgument(ReadIdx(Write("PNG and more"), {0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ReadIdx(dir_ / "absent", {0}).status()));
}

}  // namespace
}  // namespace slipway::cli
