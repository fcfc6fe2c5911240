#include "common/crypto/hash.h"

#include <string>
#include <utility>

#include "common/crypto/encoding.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

std::string Hmac(const std::string& key, const std::string& message) {
  return HexEncode(AsView(HmacSha256(key, message)));
}

// FIPS 180-4, examples of NIST's Cryptographic Standards and Guidelines.
TEST(Sha256Test, AgreesWithTheStandardsExamples) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, GivesTheSameForAnyCutIntoPieces) {
  const std::string text(1000, 'x');
  for (const size_t piece : {1, 7, 63, 64, 65, 999}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += piece) {
      hash.Update(std::string_view(text).substr(at, piece));
    }
    EXPECT_EQ(hash.FinishHex(), Sha256Hex(text)) << piece;
  }
}

TEST(Sha256Test, StartsAnewAfterFinish) {
  Sha256 hash;
  hash.Update("something");
  hash.Finish();
  hash.Update("abc");
  EXPECT_EQ(hash.FinishHex(), Sha256Hex("abc"));
}

TEST(Sha256Test, GoesOnAfterAMove) {
  Sha256 first;
  first.Update("ab");
  Sha256 second = std::move(first);
  second.Update("c");
  EXPECT_EQ(second.FinishHex(), Sha256Hex("abc"));
}

TEST(HmacSha256Test, AgreesWithRfc4231) {
  EXPECT_EQ(Hmac(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(Hmac("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Hmac(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(
      Hmac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HmacSha256KeyTest, GivesWhatOneCallGives) {
  for (const size_t size : {1, 20, 63, 64, 65, 131, 1000}) {
    const std::string key(size, '\xaa');
    HmacSha256Key prepared("another");
    prepared = HmacSha256Key(key);
    for (const std::string& message :
         {std::string(), std::string("Hi There"), std::string(500, 'x')}) {
      EXPECT_EQ(prepared.Of(message), HmacSha256(key, message)) << size;
      EXPECT_EQ(prepared.Of(message), HmacSha256(key, message)) << size << " again";
    }
  }
}

TEST(HmacSha256DeathTest, RefusesAnEmptyKey) {
  EXPECT_DEATH(HmacSha256("", "message"), "empty key");
  EXPECT_DEATH(HmacSha256Key(""), "empty key");
}

TEST(ConstantTimeEqualTest, SeesEveryDifference) {
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_TRUE(ConstantTimeEqual(std::string_view("a\0b", 3), std::string_view("a\0b", 3)));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abcd"));
  const std::string text(64, 'x');
  for (size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] ^= 1;
    EXPECT_FALSE(ConstantTimeEqual(text, other)) << i;
  }
  EXPECT_TRUE(ConstantTimeEqual(Sha256Of("a"), Sha256Of("a")));
  EXPECT_FALSE(ConstantTimeEqual(Sha256Of("a"), Sha256Of("b")));
}

TEST(Crc32Test, AgreesWithTheCheckValueAndGoesOn) {
  EXPECT_EQ(Crc32(""), 0u);
  EXPECT_EQ(Crc32("123456789"), 0xcbf43926u);
  EXPECT_EQ(Crc32("456789", Crc32("123")), 0xcbf43926u);
}

}  // namespace
}  // namespace slipway
