// Bearer tokens against a real issuer, whose keys come over HTTP.
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/gateway/identity/oidc_tokens.h"
#include "tests/support/fake_clock.h"
#include "tests/support/gateway/test_issuer.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class OidcTest : public ::testing::Test {
 protected:
  OidcTest() {
    issuer_.signer().NewKey("first", "ES256");
    EXPECT_TRUE(Peppers::Create(folder_ / "pepper").ok());
    table_ = std::make_unique<KeyTable>(Peppers::Load(folder_ / "pepper").value(),
                                        KeyTable::Limits{}, clock_);
    SetTenant(TenantState::kActive);
    config_.name = "corp";
    config_.issuer = issuer_.url();
    config_.audience = "slipway";
    config_.rules = {Rule("groups", "ml-*", "acme", "developer", "research"),
                     Rule("/kubernetes.io/namespace", "serving", "acme", "caller"),
                     Rule("sub", "root", "", "operator")};
    EXPECT_TRUE(config_.Check().ok()) << config_.Check();
    Restart();
    tokens_->ReadKeys();
  }

  static OidcRuleConfig Rule(const std::string& claim, const std::string& value,
                             const std::string& tenant, const std::string& role,
                             const std::string& project = "") {
    OidcRuleConfig rule;
    rule.claim = claim;
    rule.value = value;
    rule.tenant = tenant;
    rule.role = role;
    rule.project = project;
    return rule;
  }

  void Restart() {
    tokens_ = std::make_unique<OidcTokens>(std::vector<OidcIssuerConfig>{config_}, *table_, clock_);
  }

  void SetTenant(TenantState state) {
    const TenantRecord acme{
        .id = "acme", .display_name = "", .state = state, .create_time = clock_.Now()};
    table_->Apply({acme}, {}, clock_.Monotonic());
  }

  json Claims() {
    json claims = issuer_.Claims("alice", absl::ToUnixSeconds(clock_.Now()));
    claims["groups"] = {"staff", "ml-research"};
    return claims;
  }
  std::string Token(const json& claims) { return issuer_.signer().Sign(claims, "first"); }

  // What the caller gets to hear; "OK" where the token is taken.
  std::string Answer(const std::string& token) {
    // The database is read meanwhile.
    table_->Apply({}, {}, clock_.Monotonic());
    return tokens_->Authenticate(token).status().ToString();
  }

  TempDir folder_;
  FakeClock clock_;
  TestIssuer issuer_;
  OidcIssuerConfig config_;
  std::unique_ptr<KeyTable> table_;
  std::unique_ptr<OidcTokens> tokens_;
};

TEST_F(OidcTest, ARuleGivesATokenItsTenantAndRole) {
  const auto alice = tokens_->Authenticate(Token(Claims()));
  ASSERT_TRUE(alice.ok()) << alice.status();
  EXPECT_EQ((*alice)->principal.tenant, "acme");
  EXPECT_EQ((*alice)->principal.role, Role::kDeveloper);
  EXPECT_EQ((*alice)->principal.key_id, "corp:alice");
  EXPECT_EQ((*alice)->project(), "research");

  json pod = issuer_.Claims("system:serviceaccount:serving:web", 1'700'000'000);
  pod["kubernetes.io"] = {{"namespace", "serving"}};
  const auto service_account = tokens_->Authenticate(Token(pod));
  ASSERT_TRUE(service_account.ok()) << service_account.status();
  EXPECT_EQ((*service_account)->principal.role, Role::kCaller);
  EXPECT_EQ((*service_account)->project(), "default");

  const auto root = tokens_->Authenticate(Token(issuer_.Claims("root", 1'700'000'000)));
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ((*root)->principal.role, Role::kOperator);
  EXPECT_EQ((*root)->principal.tenant, "");

  json nobody = Claims();
  nobody["groups"] = {"staff", "xml-"};
  EXPECT_THAT(Answer(Token(nobody)), HasSubstr("PERMISSION_DENIED"));
}

TEST_F(OidcTest, AStrangeSubjectIsShownByItsDigest) {
  for (const std::string& subject :
       {std::string(60, 'x'), std::string("a\0b", 3), std::string("a b")}) {
    json claims = Claims();
    claims["sub"] = subject;
    const auto known = tokens_->Authenticate(Token(claims));
    ASSERT_TRUE(known.ok()) << known.status();
    EXPECT_THAT((*known)->principal.key_id, ::testing::MatchesRegex("corp:[0-9a-f]{48}"));
  }
  json claims = Claims();
  claims["sub"] = "";
  EXPECT_THAT(Answer(Token(claims)), HasSubstr("names nobody"));
}

TEST_F(OidcTest, OnlyItsOwnTokensForUsAndForNow) {
  const int64_t now = absl::ToUnixSeconds(clock_.Now());
  const auto with = [&](const char* claim, const json& value) {
    json claims = Claims();
    claims[claim] = value;
    return Answer(Token(claims));
  };
  const auto without = [&](const char* claim) {
    json claims = Claims();
    claims.erase(claim);
    return Answer(Token(claims));
  };
  EXPECT_EQ(with("aud", {"other", "slipway"}), "OK");
  EXPECT_THAT(with("aud", "other"), HasSubstr("another audience"));
  EXPECT_THAT(with("aud", {"other"}), HasSubstr("another audience"));
  EXPECT_THAT(without("aud"), HasSubstr("another audience"));
  EXPECT_THAT(with("iss", "https://issuer.example"), HasSubstr("not known here"));
  EXPECT_THAT(with("iss", 5), HasSubstr("not known here"));
  EXPECT_THAT(without("iss"), HasSubstr("not known here"));
  EXPECT_THAT(without("exp"), HasSubstr("no time of its end"));
  EXPECT_THAT(with("exp", "tomorrow"), HasSubstr("no time of its end"));
  EXPECT_THAT(with("nbf", "today"), HasSubstr("no time of its beginning"));
  // The clocks may differ by half a minute.
  EXPECT_EQ(with("exp", now - 29), "OK");
  EXPECT_THAT(with("exp", now - 30), HasSubstr("has expired"));
  EXPECT_EQ(with("nbf", now + 30), "OK");
  EXPECT_THAT(with("nbf", now + 31), HasSubstr("not valid yet"));
}

TEST_F(OidcTest, ATokenThatWasTakenOnceStillExpires) {
  const std::string token = Token(Claims());
  EXPECT_EQ(Answer(token), "OK");
  clock_.Advance(absl::Minutes(60) + absl::Seconds(29));
  EXPECT_EQ(Answer(token), "OK");
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Answer(token), HasSubstr("has expired"));
}

TEST_F(OidcTest, ForgeriesAreRefused) {
  const json claims = Claims();
  TestSigner stranger;
  stranger.NewKey("first", "ES256");
  EXPECT_THAT(Answer(stranger.Sign(claims, "first")), HasSubstr("signature is wrong"));
  EXPECT_THAT(Answer(TestSigner::SignByNothing(claims, "first")), HasSubstr("UNAUTHENTICATED"));
  EXPECT_THAT(Answer(issuer_.signer().SignByPublicKey(claims, "first")),
              HasSubstr("UNAUTHENTICATED"));
  EXPECT_THAT(Answer("eyJ.eyJ.eyJ"), HasSubstr("UNAUTHENTICATED"));
  EXPECT_EQ(issuer_.reads(), 1) << "none of them has the keys read again";
}

TEST_F(OidcTest, ANewKeyIsReadWhenItIsFirstSeenButNotTooOften) {
  issuer_.signer().NewKey("second", "RS256");
  const std::string token = issuer_.signer().Sign(Claims(), "second");
  clock_.Advance(config_.min_refresh);
  EXPECT_THAT(Answer(token), HasSubstr("UNAVAILABLE"));
  tokens_->ReadKeys();
  EXPECT_EQ(issuer_.reads(), 2);
  EXPECT_EQ(Answer(token), "OK");

  // Names that are made up.
  TestSigner stranger;
  stranger.NewKey("third", "ES256");
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Answer(stranger.Sign(Claims(), "third")), HasSubstr("UNAUTHENTICATED"));
    tokens_->ReadKeys();
  }
  EXPECT_EQ(issuer_.reads(), 2);
}

TEST_F(OidcTest, AKeyThatWasTakenAwayOpensNothingAnyMore) {
  const std::string token = Token(Claims());
  EXPECT_EQ(Answer(token), "OK");
  issuer_.signer().DropKey("first");
  issuer_.signer().NewKey("second", "ES256");
  clock_.Advance(config_.refresh);
  tokens_->ReadKeys();
  EXPECT_EQ(issuer_.reads(), 2);
  EXPECT_THAT(Answer(token), HasSubstr("does not show"));
}

TEST_F(OidcTest, WhileTheIssuerIsAwayItsKnownKeysGoOnForSoLong) {
  issuer_.SetAway(true);
  json claims = Claims();
  claims["exp"] = absl::ToUnixSeconds(clock_.Now()) + 1'000'000;
  const std::string token = Token(claims);
  EXPECT_EQ(Answer(token), "OK");
  clock_.Advance(config_.stale);
  tokens_->ReadKeys();
  EXPECT_EQ(Answer(token), "OK");
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Answer(token), HasSubstr("UNAVAILABLE"));
  issuer_.SetAway(false);
  clock_.Advance(config_.min_refresh);
  tokens_->ReadKeys();
  EXPECT_EQ(Answer(token), "OK");
}

TEST_F(OidcTest, BeforeItsKeysAreKnownNobodyIsJudged) {
  Restart();
  EXPECT_THAT(Answer(Token(Claims())), HasSubstr("UNAVAILABLE"));
  tokens_->ReadKeys();
  EXPECT_EQ(Answer(Token(Claims())), "OK");
}

TEST_F(OidcTest, TheTenantsStateHoldsForTokensToo) {
  const std::string token = Token(Claims());
  EXPECT_EQ(Answer(token), "OK");
  SetTenant(TenantState::kSuspended);
  EXPECT_THAT(Answer(token), HasSubstr("PERMISSION_DENIED"));
  SetTenant(TenantState::kDeleting);
  EXPECT_THAT(Answer(token), HasSubstr("UNAUTHENTICATED"));
  SetTenant(TenantState::kActive);
  clock_.Advance(absl::Minutes(6));
  EXPECT_THAT(tokens_->Authenticate(token).status().ToString(), HasSubstr("UNAVAILABLE"))
      << "the database has been away";
}

TEST_F(OidcTest, RefusesSettingsThatWouldLetAnybodyIn) {
  const auto field = [](const OidcIssuerConfig& config) {
    return std::string(FieldOf(config.Check()));
  };
  OidcIssuerConfig config = config_;
  config.issuer = "http://issuer.example";
  EXPECT_EQ(field(config), "oidc.issuer");
  config.issuer = "http://127.0.0.1.evil.example";
  EXPECT_EQ(field(config), "oidc.issuer");
  config = config_;
  config.jwks_url = "http://issuer.example/keys";
  EXPECT_EQ(field(config), "oidc.jwks_url");
  config = config_;
  config.audience = "";
  EXPECT_EQ(field(config), "oidc.audience");
  for (const char* algorithm : {"none", "HS256"}) {
    config = config_;
    config.algorithms = {algorithm};
    EXPECT_EQ(field(config), "oidc.algorithms");
  }
  config = config_;
  config.rules = {Rule("sub", "", "acme", "owner")};
  EXPECT_EQ(field(config), "oidc.rules.value");
  config.rules = {Rule("sub", "alice", "", "owner")};
  EXPECT_EQ(field(config), "oidc.rules.tenant");
  config.rules = {Rule("sub", "alice", "acme", "operator")};
  EXPECT_EQ(field(config), "oidc.rules.tenant");
}

}  // namespace
}  // namespace slipway::gateway
