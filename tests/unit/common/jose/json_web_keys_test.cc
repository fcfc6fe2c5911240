#include "common/jose/json_web_keys.h"

#include <string>
#include <vector>

#include "common/crypto/encoding.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/gateway/test_issuer.h"

namespace slipway {
namespace {

using gateway::TestSigner;
using nlohmann::json;
using ::testing::HasSubstr;

const std::vector<std::string> kBoth = {"RS256", "ES256"};

// Keys are dear to make: one set for all tests.
class JsonWebKeysTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    signer_ = new TestSigner;
    signer_->NewKey("rsa", "RS256");
    signer_->NewKey("ec", "ES256");
    keys_ = new JsonWebKeys(JsonWebKeys::Parse(signer_->KeySet()).value());
  }
  static void TearDownTestSuite() {
    delete keys_;
    delete signer_;
  }

  static std::string Refusal(const std::string& token) {
    const auto claims = keys_->Verify(token, kBoth);
    EXPECT_FALSE(claims.ok()) << *claims;
    return claims.status().ToString();
  }

  static inline TestSigner* signer_ = nullptr;
  static inline JsonWebKeys* keys_ = nullptr;
  const json claims_ = {{"sub", "alice"}, {"exp", 1}};
};

TEST_F(JsonWebKeysTest, TellsTheClaimsOfWhatItsKeysSigned) {
  for (const char* id : {"rsa", "ec"}) {
    const auto claims = keys_->Verify(signer_->Sign(claims_, id), kBoth);
    ASSERT_TRUE(claims.ok()) << claims.status();
    EXPECT_EQ(*claims, claims_);
  }
}

TEST_F(JsonWebKeysTest, OneChangedCharacterIsAForgery) {
  for (const char* id : {"rsa", "ec"}) {
    const std::string token = signer_->Sign(claims_, id);
    const size_t first = token.find('.');
    const size_t second = token.rfind('.');
    for (const size_t at : {first - 3, first + 5, second - 3, second + 7}) {
      std::string changed = token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(keys_->Verify(changed, kBoth).ok()) << id << " at " << at;
    }
    EXPECT_FALSE(keys_->Verify(token.substr(0, second + 1), kBoth).ok());
    EXPECT_FALSE(keys_->Verify(token + ".x", kBoth).ok());
  }
}

TEST_F(JsonWebKeysTest, AnotherKeyUnderAKnownNameIsAForgery) {
  TestSigner other;
  other.NewKey("ec", "ES256");
  EXPECT_THAT(Refusal(other.Sign(claims_, "ec")), HasSubstr("signature is wrong"));
}

TEST_F(JsonWebKeysTest, AnUnknownNameMayBeANewKey) {
  TestSigner other;
  other.NewKey("new", "ES256");
  EXPECT_TRUE(absl::IsNotFound(keys_->Verify(other.Sign(claims_, "new"), kBoth).status()));
}

TEST_F(JsonWebKeysTest, TheTokenDoesNotChooseHowItIsChecked) {
  EXPECT_THAT(Refusal(TestSigner::SignByNothing(claims_, "rsa")), HasSubstr("algorithm"));
  EXPECT_THAT(Refusal(signer_->SignByPublicKey(claims_, "rsa")), HasSubstr("algorithm"));
  EXPECT_THAT(Refusal(signer_->SignByPublicKey(claims_, "ec")), HasSubstr("algorithm"));
  // An algorithm that is known, but that is not allowed here; a key of another type.
  const std::string token = signer_->Sign(claims_, "rsa");
  EXPECT_FALSE(keys_->Verify(token, {"ES256"}).ok());
  EXPECT_THAT(Refusal(signer_->Sign(claims_, "ec", "rsa")), HasSubstr("signature is wrong"));
  EXPECT_THAT(Refusal(signer_->Sign(claims_, "rsa", "ec")), HasSubstr("signature is wrong"));
  for (const char* never : {"none", "HS256", "", "rs256"})
    EXPECT_FALSE(IsSignatureAlgorithm(never));
}

TEST_F(JsonWebKeysTest, WhatMustBeUnderstoodAndIsNotIsRefused) {
  const std::string token = signer_->Sign(claims_, "ec");
  const auto with_head = [&](const std::string& head) {
    return Base64UrlEncode(head) + token.substr(token.find('.'));
  };
  EXPECT_FALSE(
      keys_->Verify(with_head(R"({"alg":"ES256","kid":"ec","crit":["b64"]})"), kBoth).ok());
  EXPECT_FALSE(keys_->Verify(with_head(R"({"alg":"ES256","alg":"none","kid":"ec"})"), kBoth).ok());
  EXPECT_FALSE(keys_->Verify(with_head("[]"), kBoth).ok());
  EXPECT_FALSE(keys_->Verify("eyJ.a.b", kBoth).ok());
  EXPECT_FALSE(keys_->Verify("eyJ" + std::string(9000, 'a') + ".a.b", kBoth).ok());
}

TEST_F(JsonWebKeysTest, LeavesOutWhatIsNoKeyForSignatures) {
  json set = json::parse(signer_->KeySet());
  for (json& key : set["keys"]) key["use"] = "enc";
  set["keys"].push_back({{"kty", "oct"}, {"k", "c2VjcmV0"}, {"kid", "shared"}});
  set["keys"].push_back({{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "AA"}, {"kid", "ed"}});
  // RSA of 512 bits.
  set["keys"].push_back({{"kty", "RSA"}, {"e", "AQAB"}, {"n", std::string(86, 'z')}});
  EXPECT_FALSE(JsonWebKeys::Parse(set.dump()).ok());
  for (const char* text : {"", "{}", "[]", R"({"keys":{}})", R"({"keys":[1,null]})"}) {
    EXPECT_FALSE(JsonWebKeys::Parse(text).ok()) << text;
  }
}

TEST_F(JsonWebKeysTest, AKeyIsForTheAlgorithmThatItNames) {
  json set = json::parse(signer_->KeySet());
  for (json& key : set["keys"]) {
    if (key["kid"] == "rsa") key["alg"] = "PS256";
  }
  const auto keys = JsonWebKeys::Parse(set.dump());
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_FALSE(keys->Verify(signer_->Sign(claims_, "rsa"), kBoth).ok());
}

}  // namespace
}  // namespace slipway
