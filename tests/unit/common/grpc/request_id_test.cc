#include <string>

#include "common/grpc/client.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(RequestIdTest, IsShortAndPlain) {
  for (const char* good : {"a", "0f3c-77", "A_b.c:d", "4bf92f3577b34da6a3ce929d0e0e4736"}) {
    EXPECT_TRUE(IsRequestId(good)) << good;
  }
  for (const char* bad : {"", " ", "a b", "a\n", "a\r\nx-evil: 1", "\xc3\xa9", "a/b", "\""}) {
    EXPECT_FALSE(IsRequestId(bad)) << bad;
  }
  EXPECT_TRUE(IsRequestId(std::string(128, 'a')));
  EXPECT_FALSE(IsRequestId(std::string(129, 'a')));
}

}  // namespace
}  // namespace slipway
