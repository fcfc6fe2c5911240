#include "common/idx/idx.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::HasSubstr;

class IdxTest : public ::testing::Test {
 protected:
  absl::StatusOr<IdxArray> Read(std::string_view bytes) {
    WriteFile(folder_ / "file", bytes);
    return ReadIdx(folder_ / "file", "train-images");
  }
  std::string ErrorOf(std::string_view bytes) {
    const auto array = Read(bytes);
    if (array.ok()) return "";
    EXPECT_EQ(array.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(array.status().message());
  }

  TempDir folder_;
};

TEST_F(IdxTest, ReadsPlainAndPackedFilesAlike) {
  const std::string file = Idx({2, 3}, std::string_view("\0\1\2\3\4\xff", 6));
  for (const std::string& bytes : {file, Gzip(file)}) {
    const auto array = Read(bytes);
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->shape, (Shape{2, 3}));
    EXPECT_EQ(array->elements, std::string_view("\0\1\2\3\4\xff", 6));
  }
}

TEST_F(IdxTest, RefusesEveryProperPrefix) {
  const std::string file = Idx({2, 3}, "abcdef");
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(ErrorOf(file.substr(0, size)), HasSubstr("train-images is cut short")) << size;
  }
  const std::string packed = Gzip(file);
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_NE(ErrorOf(packed.substr(0, size)), "") << "packed, cut to " << size;
  }
}

TEST_F(IdxTest, SaysWhatTheHeaderPromises) {
  EXPECT_EQ(ErrorOf(Gzip(Idx({4, 2, 2}, "abcdefghijkl"))),
            "train-images is cut short: its header promises 16 bytes for [4, 2, 2], and 12 are "
            "there");
}

TEST_F(IdxTest, TakesNoMemoryForWhatTheFileCannotHold) {
  EXPECT_THAT(ErrorOf(Idx({0xffffffff, 0xffffffff}, "")), HasSubstr("too many elements"));
  EXPECT_THAT(ErrorOf(Idx({0x7fffffff, 0x7fffffff}, "abc")),
              HasSubstr("more than the file can hold"));
  EXPECT_THAT(ErrorOf(Gzip(Idx({0x7fffffff, 0x7fffffff}, "abc"))),
              HasSubstr("more than the file can hold"));
}

TEST_F(IdxTest, RefusesRests) {
  EXPECT_EQ(ErrorOf(Idx({2}, "abc")), "train-images goes on after its content");
  EXPECT_EQ(ErrorOf(Gzip(Idx({2}, "abc"))), "train-images goes on after its content");
}

TEST_F(IdxTest, RefusesDamage) {
  std::string packed = Gzip(Idx({400}, std::string(400, 'a')));
  packed[packed.size() - 6] ^= 1;  // in gzip's checksum
  EXPECT_THAT(ErrorOf(packed), HasSubstr("train-images is damaged"));
}

TEST_F(IdxTest, RefusesWhatIsNoIdxFileOfBytes) {
  EXPECT_THAT(ErrorOf("PNG and more"), HasSubstr("is no IDX file"));
  std::string floats = Idx({1}, "aaaa");
  floats[2] = 0x0d;
  EXPECT_EQ(ErrorOf(floats),
            "train-images has elements of type 13; only 8 (unsigned bytes) is taken");
  std::string scalar = Idx({}, "a");
  EXPECT_THAT(ErrorOf(scalar), HasSubstr("has 0 dimensions"));
  EXPECT_THAT(ErrorOf(Idx({1, 1, 1, 1, 1, 1, 1, 1, 1}, "a")), HasSubstr("has 9 dimensions"));
  EXPECT_THAT(ErrorOf(Idx({0, 28, 28}, "")), HasSubstr("is empty: its shape is [0, 28, 28]"));
}

TEST_F(IdxTest, SaysWhenThereIsNoFile) {
  EXPECT_EQ(ReadIdx(folder_ / "absent", "train-images").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadIdx(folder_.path().string(), "train-images").status().message(),
            "train-images is no regular file");
}

}  // namespace
}  // namespace slipway::trainer
