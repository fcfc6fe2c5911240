#include "services/gateway/identity/pepper.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

const std::string kOne(64, '1');
const std::string kTwo(64, '2');

class PeppersTest : public ::testing::Test {
 protected:
  absl::StatusOr<Peppers> Load(const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ / "pepper";
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return Peppers::Load(path);
  }
  TempDir folder_;
};

TEST_F(PeppersTest, NewKeysTakeTheHighestVersionAndOldKeysKeepTheirs) {
  const auto one = Load("1 " + kOne + "\n");
  const auto both = Load("# rotated in spring\n2 " + kTwo + "\n1 " + kOne + " # the first\n\n");
  ASSERT_TRUE(one.ok() && both.ok()) << both.status();
  EXPECT_EQ(one->newest(), 1);
  EXPECT_EQ(both->newest(), 2);
  EXPECT_EQ(one->Mac(1, "key"), both->Mac(1, "key"));
  EXPECT_NE(both->Mac(1, "key"), both->Mac(2, "key"));
  EXPECT_FALSE(one->Mac(2, "key").has_value());
}

TEST_F(PeppersTest, HexDigitsAloneAreTheFirstVersion) {
  const auto bare = Load(kOne + "\n");
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_EQ(bare->Mac(1, "key"), Load("1 " + kOne)->Mac(1, "key"));
}

TEST_F(PeppersTest, RefusesWhatIsNoPepper) {
  for (const std::string& text :
       {std::string(), std::string("# nothing\n"), "1 " + kOne.substr(2), std::string("1 \n"),
        std::string("1\n"), "x " + kOne, "0 " + kOne, "-1 " + kOne, "1 " + kOne + "\n1 " + kTwo,
        "1 " + std::string(64, 'x'), kOne + "\n1 " + kTwo, kOne + kOne.substr(1)}) {
    const auto peppers = Load(text);
    EXPECT_FALSE(peppers.ok()) << text;
    EXPECT_THAT(std::string(peppers.status().message()), ::testing::HasSubstr("pepper file"));
  }
}

TEST_F(PeppersTest, RefusesAFileThatOthersMayRead) {
  EXPECT_FALSE(Load("1 " + kOne + "\n", 0644).ok());
  EXPECT_TRUE(Load("1 " + kOne + "\n", 0440).ok()) << "as Kubernetes mounts secrets";
}

TEST_F(PeppersTest, NoErrorHoldsAPepper) {
  const auto peppers = Load("1 " + kOne.substr(2) + "\n");
  EXPECT_THAT(peppers.status().ToString(), ::testing::Not(::testing::HasSubstr("1111")));
}

TEST_F(PeppersTest, CreatesOnceAndOnlyForItsUser) {
  const std::string path = folder_ / "fresh";
  ASSERT_TRUE(Peppers::Create(path).ok());
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto mac = Peppers::Load(path)->Mac(1, "key");
  EXPECT_TRUE(absl::IsAlreadyExists(Peppers::Create(path)));
  EXPECT_EQ(Peppers::Load(path)->Mac(1, "key"), mac);
}

}  // namespace
}  // namespace slipway::gateway
