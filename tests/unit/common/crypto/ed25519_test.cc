#include "common/crypto/ed25519.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/crypto/encoding.h"
#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

struct Vector {
  const char* seed;
  const char* public_key;
  const char* message;
  const char* signature;
};

// RFC 8032, section 7.1, tests 1 to 3.
constexpr Vector kVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
     "b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
     "1d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
     "c6594a7c15e9716ed28dc027beceea1ec40a"},
};

TEST(Ed25519Test, AgreesWithRfc8032) {
  for (const Vector& vector : kVectors) {
    const auto key = Ed25519PrivateKey::FromSeed(*HexDecode(vector.seed));
    ASSERT_TRUE(key.ok());
    const std::string message = *HexDecode(vector.message);
    EXPECT_EQ(HexEncode(key->public_key().ToRaw()), vector.public_key);
    EXPECT_EQ(HexEncode(key->Sign(message)), vector.signature);
    const auto public_key = Ed25519PublicKey::FromRaw(*HexDecode(vector.public_key));
    ASSERT_TRUE(public_key.ok());
    EXPECT_TRUE(public_key->Verify(message, *HexDecode(vector.signature)));
  }
}

TEST(Ed25519Test, RefusesEveryFlippedBit) {
  const Ed25519PrivateKey key = Ed25519PrivateKey::Generate();
  const Ed25519PublicKey public_key = key.public_key();
  const std::string message = "a principal";
  const std::string signature = key.Sign(message);
  ASSERT_TRUE(public_key.Verify(message, signature));
  for (size_t bit = 0; bit < signature.size() * 8; ++bit) {
    std::string other = signature;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(public_key.Verify(message, other)) << bit;
  }
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    std::string other = message;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(public_key.Verify(other, signature)) << bit;
  }
  EXPECT_FALSE(public_key.Verify(message, ""));
  EXPECT_FALSE(public_key.Verify(message, signature + "x"));
  EXPECT_FALSE(Ed25519PrivateKey::Generate().public_key().Verify(message, signature));
}

TEST(Ed25519Test, RefusesKeysOfTheWrongLength) {
  EXPECT_FALSE(Ed25519PrivateKey::FromSeed("short").ok());
  EXPECT_FALSE(Ed25519PublicKey::FromRaw(std::string(33, 'x')).ok());
}

TEST(Ed25519Test, SavesForItsUserOnlyAndLoadsBack) {
  const TempDir dir;
  const std::string path = dir / "gateway.key";
  const Ed25519PrivateKey key = Ed25519PrivateKey::Generate();
  ASSERT_TRUE(key.Save(path).ok());
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto loaded = Ed25519PrivateKey::Load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Sign("x"), key.Sign("x"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(Ed25519Test, NeverOverwritesAKey) {
  const TempDir dir;
  const std::string path = dir / "gateway.key";
  const Ed25519PrivateKey first = Ed25519PrivateKey::Generate();
  ASSERT_TRUE(first.Save(path).ok());
  EXPECT_EQ(Ed25519PrivateKey::Generate().Save(path).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Ed25519PrivateKey::Load(path)->Sign("x"), first.Sign("x"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(Ed25519Test, RefusesAKeyFileThatOthersMayRead) {
  const TempDir dir;
  const std::string path = dir / "gateway.key";
  ASSERT_TRUE(Ed25519PrivateKey::Generate().Save(path).ok());
  for (const mode_t mode : {0604, 0602, 0620}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    EXPECT_THAT(std::string(Ed25519PrivateKey::Load(path).status().message()),
                HasSubstr("open to other users"));
  }
  ASSERT_EQ(::chmod(path.c_str(), 0440), 0);  // as Kubernetes mounts it
  EXPECT_TRUE(Ed25519PrivateKey::Load(path).ok());
}

TEST(Ed25519Test, RefusesFilesThatHoldNoSuchKey) {
  const TempDir dir;
  EXPECT_EQ(Ed25519PrivateKey::Load(dir / "absent").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(dir / "text", "hello", 0600).ok());
  EXPECT_EQ(Ed25519PrivateKey::Load(dir / "text").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Ed25519PublicKey::AllFromPem("hello", "x.pub").ok());
  EXPECT_FALSE(Ed25519PublicKey::AllFromPem("", "x.pub").ok());
}

TEST(Ed25519Test, ReadsSeveralPublicKeysFromOneText) {
  const Ed25519PrivateKey old_key = Ed25519PrivateKey::Generate();
  const Ed25519PrivateKey new_key = Ed25519PrivateKey::Generate();
  const std::string pem = old_key.public_key().ToPem() + new_key.public_key().ToPem();
  const auto keys = Ed25519PublicKey::AllFromPem(pem, "gateway.pub");
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_TRUE((*keys)[0].Verify("m", old_key.Sign("m")));
  EXPECT_TRUE((*keys)[1].Verify("m", new_key.Sign("m")));
  // A key after the first that is cut off is an error, not a shorter list.
  EXPECT_FALSE(Ed25519PublicKey::AllFromPem(pem.substr(0, pem.size() - 60), "gateway.pub").ok());
}

}  // namespace
}  // namespace slipway
