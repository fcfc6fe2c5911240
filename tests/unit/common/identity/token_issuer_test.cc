#include <string>

#include "common/crypto/encoding.h"
#include "common/identity/token.h"
#include "common/identity/token_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

Ed25519PrivateKey TestKey() {
  // The seed of RFC 8032's first test vector.
  return *Ed25519PrivateKey::FromSeed(
      *HexDecode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
}

class TokenIssuerTest : public ::testing::Test {
 protected:
  static TokenClaims Claims(const std::string& token) {
    const auto claims = ParseClaims(*Split(token));
    EXPECT_TRUE(claims.ok()) << claims.status();
    return *claims;
  }

  const Principal owner_{.tenant = "acme", .key_id = "k1", .role = Role::kOwner};
  FakeClock clock_;
  TokenIssuer gateway_{ServiceId::kGateway, TestKey(), clock_};
  TokenIssuer training_{ServiceId::kTraining, TestKey(), clock_};
};

// Written down, so that a change of the format, which old services would refuse, is seen.
TEST_F(TokenIssuerTest, WritesTheTextThatItAlwaysWrote) {
  const auto token = gateway_.Issue(owner_, ServiceId::kRegistry);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(*token,
            "CAEQARgCIgRhY21lKgJrMTAEQIDiz6oGSKzkz6oG."
            "E99SZ7jLRQBIbbtglSi1oqRugDwEzf4sveUh-B-KAviwl8wNGS_wmxIfzDku2S5LhKJS5SmE6Nc_nWt9qud"
            "PAw");
}

TEST_F(TokenIssuerTest, SaysWhoAsksForWhomAndForHowLong) {
  Principal trainer{.tenant = "acme",
                    .role = Role::kDeveloper,
                    .caller = ServiceId::kTrainer,
                    .scopes = {"tenants/acme/jobs/j1"}};
  const auto token = training_.IssueLasting(trainer, absl::Hours(10));
  ASSERT_TRUE(token.ok()) << token.status();
  const TokenClaims claims = Claims(*token);
  EXPECT_EQ(claims.issuer, ServiceId::kTraining);
  EXPECT_EQ(claims.audience, ServiceId::kNone);
  EXPECT_EQ(claims.issued, clock_.Now());
  EXPECT_EQ(claims.expires, clock_.Now() + absl::Hours(10));
  EXPECT_EQ(claims.principal.tenant, "acme");
  EXPECT_EQ(claims.principal.role, Role::kDeveloper);
  EXPECT_EQ(claims.principal.caller, ServiceId::kTrainer);
  EXPECT_EQ(claims.principal.scopes, trainer.scopes);
}

TEST_F(TokenIssuerTest, SpeaksForItselfWhereNoCallerIsSaid) {
  EXPECT_EQ(Claims(*gateway_.Issue(owner_, ServiceId::kRegistry)).principal.caller,
            ServiceId::kGateway);
  EXPECT_EQ(Claims(*training_.Issue(owner_, ServiceId::kRegistry)).principal.caller,
            ServiceId::kTraining);
}

TEST_F(TokenIssuerTest, MakesATokenOncePerPrincipalAndAudience) {
  const std::string first = *gateway_.Issue(owner_, ServiceId::kRegistry);
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(*gateway_.Issue(owner_, ServiceId::kRegistry), first);
  EXPECT_NE(*gateway_.Issue(owner_, ServiceId::kWorker), first);
  Principal other = owner_;
  other.tenant = "other";
  EXPECT_NE(*gateway_.Issue(other, ServiceId::kRegistry), first);
  other = owner_;
  other.role = Role::kViewer;
  EXPECT_NE(*gateway_.Issue(other, ServiceId::kRegistry), first);
  other = owner_;
  other.key_id = "k2";
  EXPECT_NE(*gateway_.Issue(other, ServiceId::kRegistry), first);
  other = owner_;
  other.scopes = {"x"};
  EXPECT_NE(*gateway_.Issue(other, ServiceId::kRegistry), first);
}

TEST_F(TokenIssuerTest, NeverMixesUpWhereOneTextEndsAndTheNextBegins) {
  const Principal a{.tenant = "ab", .key_id = "c", .role = Role::kOwner};
  const Principal b{.tenant = "a", .key_id = "bc", .role = Role::kOwner};
  gateway_.Issue(a, ServiceId::kRegistry).IgnoreError();
  EXPECT_EQ(Claims(*gateway_.Issue(b, ServiceId::kRegistry)).principal.tenant, "a");
}

TEST_F(TokenIssuerTest, HandsOutNoTokenThatIsAboutToExpire) {
  std::string last = *gateway_.Issue(owner_, ServiceId::kRegistry);
  for (int i = 0; i < 600; ++i) {
    clock_.Advance(absl::Seconds(1));
    const TokenClaims claims = Claims(*gateway_.Issue(owner_, ServiceId::kRegistry));
    EXPECT_GE(claims.expires - clock_.Now(), kTokenLifetime / 3);
    EXPECT_LE(claims.issued, clock_.Now());
  }
}

TEST_F(TokenIssuerTest, RefusesToSpeakForAnothersCaller) {
  for (const ServiceId caller : {ServiceId::kTraining, ServiceId::kTrainer, ServiceId::kController,
                                 ServiceId::kWorker, ServiceId::kRegistry}) {
    Principal principal = owner_;
    principal.caller = caller;
    principal.scopes = {"tenants/acme/jobs/j1"};
    EXPECT_EQ(gateway_.Issue(principal, ServiceId::kRegistry).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(gateway_.IssueLasting(principal, absl::Hours(1)).ok());
  }
}

TEST_F(TokenIssuerTest, RefusesATrainerWithoutScopesAndOneThatIsTheOperator) {
  Principal trainer{.tenant = "acme", .role = Role::kDeveloper, .caller = ServiceId::kTrainer};
  EXPECT_FALSE(training_.IssueLasting(trainer, absl::Hours(1)).ok());
  trainer.scopes = {"tenants/acme/jobs/j1"};
  EXPECT_TRUE(training_.IssueLasting(trainer, absl::Hours(1)).ok());
  trainer.role = Role::kOperator;
  EXPECT_FALSE(training_.IssueLasting(trainer, absl::Hours(1)).ok());
}

TEST_F(TokenIssuerTest, RefusesLastingTokensForServicesThemselves) {
  EXPECT_FALSE(gateway_.IssueLasting(owner_, absl::Hours(1)).ok());
  EXPECT_FALSE(gateway_.Issue(owner_, ServiceId::kNone).ok());
}

TEST_F(TokenIssuerTest, RefusesLifetimesAndSizesBeyondTheLimits) {
  Principal trainer{.tenant = "acme",
                    .role = Role::kDeveloper,
                    .caller = ServiceId::kTrainer,
                    .scopes = {"tenants/acme/jobs/j1"}};
  EXPECT_FALSE(training_.IssueLasting(trainer, kMaxTokenLifetime + absl::Seconds(1)).ok());
  EXPECT_FALSE(training_.IssueLasting(trainer, absl::ZeroDuration()).ok());
  EXPECT_FALSE(training_.IssueLasting(trainer, -absl::Hours(1)).ok());
  EXPECT_TRUE(training_.IssueLasting(trainer, kMaxTokenLifetime).ok());
  trainer.scopes.assign(100, "tenants/acme/blobs/sha256:0123456789");
  EXPECT_THAT(std::string(training_.IssueLasting(trainer, absl::Hours(1)).status().message()),
              HasSubstr("too many scopes"));
}

TEST(TokenIssuerDeathTest, IsGivenToIssuersOnly) {
  FakeClock clock;
  EXPECT_DEATH(TokenIssuer(ServiceId::kRegistry, TestKey(), clock), "may not issue");
}

}  // namespace
}  // namespace slipway
