#include "services/cli/picture.h"

#include "gtest/gtest.h"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

TEST(PictureTest, DrawsTwoPixelRowsALine) {
  const Picture picture{.rows = 4, .columns = 2, .pixels = {0, 255, 0, 255, 255, 0, 255, 0}};
  EXPECT_EQ(Draw(picture, 2, Ink::kShades), (std::vector<std::string>{" █", "█ "}));
}

TEST(PictureTest, ScalesDownToTheColumnsGiven) {
  const Picture picture{.rows = 28, .columns = 28, .pixels = std::vector<uint8_t>(784, 128)};
  const std::vector<std::string> lines = Draw(picture, 14, Ink::kShades);
  ASSERT_EQ(lines.size(), 7u);
  for (const std::string& line : lines) EXPECT_EQ(DisplayWidth(line), 14u);
}

TEST(PictureTest, EndsEachColouredLineWithoutColour) {
  const Picture picture{.rows = 2, .columns = 1, .pixels = {10, 200}};
  EXPECT_EQ(Draw(picture, 1, Ink::kColour),
            (std::vector<std::string>{"\033[38;2;10;10;10m\033[48;2;200;200;200m▀\033[0m"}));
}

}  // namespace
}  // namespace slipway::cli
