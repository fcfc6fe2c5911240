#include "common/crypto/secret.h"

#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include "fmt/format.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

TEST(SecretTest, PrintsNowhere) {
  static_assert(Streamable<std::string>);
  static_assert(!Streamable<Secret>);
  static_assert(fmt::is_formattable<std::string>::value);
  static_assert(!fmt::is_formattable<Secret>::value);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
}

TEST(SecretTest, CopiesAndMovesLikeAValue) {
  Secret a("pepper");
  Secret b = a;
  EXPECT_EQ(a.Reveal(), "pepper");
  EXPECT_EQ(b.Reveal(), "pepper");
  Secret c = std::move(a);
  EXPECT_EQ(c.Reveal(), "pepper");
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): a moved-from secret is gone
  b = Secret("other");
  EXPECT_EQ(b.Reveal(), "other");
  Secret& same = b;
  b = same;
  EXPECT_EQ(b.Reveal(), "other");
}

// A short text lives inside the object, where a string's own move would leave a copy of it.
TEST(SecretTest, LeavesNoBytesBehindWhenItMoves) {
  Secret secret("short");
  const char* inside = secret.Reveal().data();
  const Secret taken = std::move(secret);
  EXPECT_EQ(taken.Reveal(), "short");
  EXPECT_EQ(std::string(inside, 5), std::string(5, '\0'));
}

}  // namespace
}  // namespace slipway
