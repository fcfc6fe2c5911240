#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/crypto/encoding.h"
#include "common/files/files.h"
#include "common/identity/token.h"
#include "common/identity/token_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "slipway/identity/v1/token.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

class TokenVerifierTest : public ::testing::Test {
 protected:
  // A token as any key holder could write it, with no rule observed.
  std::string Write(ServiceId issuer, const Principal& principal, ServiceId audience,
                    absl::Duration age = absl::ZeroDuration(),
                    absl::Duration lifetime = absl::Minutes(5)) const {
    TokenClaims claims;
    claims.issuer = issuer;
    claims.audience = audience;
    claims.principal = principal;
    claims.issued = clock_.Now() - age;
    claims.expires = claims.issued + lifetime;
    return WriteToken(claims, trust_.key(issuer));
  }

  std::string ErrorOf(const std::string& token) const {
    const auto principal = registry_->Verify(token);
    if (principal.ok()) return "";
    EXPECT_EQ(principal.status().code(), absl::StatusCode::kUnauthenticated);
    return std::string(principal.status().message());
  }

  FakeClock clock_;
  const TestTrust trust_{clock_};
  const std::unique_ptr<TokenVerifier> registry_ = trust_.Verifier(ServiceId::kRegistry);
  const Principal owner_{
      .tenant = "acme", .key_id = "k1", .role = Role::kOwner, .caller = ServiceId::kGateway};
  const Principal trainer_ = TestTrust::AnyPrincipal(ServiceId::kTrainer);
  const Principal worker_ = TestTrust::AnyPrincipal(ServiceId::kWorker);
};

TEST_F(TokenVerifierTest, SaysWhoSpeaks) {
  const auto principal = registry_->Verify(trust_.Token(owner_, ServiceId::kRegistry));
  ASSERT_TRUE(principal.ok()) << principal.status();
  EXPECT_EQ((*principal)->tenant, "acme");
  EXPECT_EQ((*principal)->key_id, "k1");
  EXPECT_EQ((*principal)->role, Role::kOwner);
  EXPECT_EQ((*principal)->caller, ServiceId::kGateway);
  EXPECT_TRUE((*principal)->scopes.empty());
}

TEST_F(TokenVerifierTest, SharesOneAnswerAmongAllChecksOfAToken) {
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  EXPECT_EQ(registry_->Verify(token)->get(), registry_->Verify(token)->get());
}

// Before and after the token is in the cache, since the cache must not be a way around.
TEST_F(TokenVerifierTest, RefusesEveryFlippedByte) {
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  for (const bool cached : {false, true}) {
    if (cached) {
      ASSERT_TRUE(registry_->Verify(token).ok());
    }
    for (size_t i = 0; i < token.size(); ++i) {
      for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128}) {
        std::string other = token;
        other[i] = static_cast<char>(other[i] ^ flip);
        EXPECT_NE(ErrorOf(other), "") << "byte " << i << ", bit " << flip;
      }
    }
  }
}

TEST_F(TokenVerifierTest, RefusesEveryTokenCutShortOrLong) {
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  for (size_t size = 0; size < token.size(); ++size) EXPECT_NE(ErrorOf(token.substr(0, size)), "");
  for (const char* end : {"A", "=", ".", " ", "AAAA"}) EXPECT_NE(ErrorOf(token + end), "");
  EXPECT_THAT(ErrorOf(""), HasSubstr("carries no token"));
  EXPECT_THAT(ErrorOf("garbage"), HasSubstr("malformed"));
  EXPECT_NE(ErrorOf("."), "");
}

TEST_F(TokenVerifierTest, LooksAtNoTokenOverTheLimit) {
  EXPECT_THAT(ErrorOf(std::string(kMaxTokenBytes + 1, 'A')), HasSubstr("too long"));
  EXPECT_THAT(ErrorOf(std::string(kMaxTokenBytes, 'A')), HasSubstr("malformed"));
}

TEST_F(TokenVerifierTest, RefusesATokenForAnotherService) {
  EXPECT_THAT(ErrorOf(trust_.Token(owner_, ServiceId::kWorker)), HasSubstr("meant for worker"));
}

TEST_F(TokenVerifierTest, RefusesAnExpiredTokenAlsoWhenItWasCached) {
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  ASSERT_EQ(ErrorOf(token), "");
  clock_.Advance(kTokenLifetime + kTokenClockSkew - absl::Seconds(1));
  EXPECT_EQ(ErrorOf(token), "");
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(ErrorOf(token), HasSubstr("expired"));
  EXPECT_THAT(ErrorOf(trust_.ExpiredToken(owner_, ServiceId::kRegistry)), HasSubstr("expired"));
}

TEST_F(TokenVerifierTest, AllowsClocksToDifferByTheSkewAndNoMore) {
  EXPECT_EQ(ErrorOf(Write(ServiceId::kGateway, owner_, ServiceId::kRegistry, -kTokenClockSkew)),
            "");
  EXPECT_THAT(ErrorOf(Write(ServiceId::kGateway, owner_, ServiceId::kRegistry,
                            -kTokenClockSkew - absl::Seconds(1))),
              HasSubstr("not valid yet"));
}

TEST_F(TokenVerifierTest, RefusesAnIssuerThatSpeaksForAnothersCaller) {
  const ServiceId issuers[] = {ServiceId::kGateway, ServiceId::kTraining, ServiceId::kController};
  for (const ServiceId issuer : issuers) {
    for (int caller = 0; caller <= 6; ++caller) {
      Principal principal = owner_;
      principal.caller = static_cast<ServiceId>(caller);
      principal.scopes = {"tenants/acme/jobs/j1"};
      const std::string error = ErrorOf(Write(issuer, principal, ServiceId::kRegistry));
      if (MaySpeakFor(issuer, principal.caller)) {
        EXPECT_EQ(error, "");
      } else {
        EXPECT_THAT(error, HasSubstr("may not speak for")) << caller;
      }
    }
  }
}

TEST_F(TokenVerifierTest, RefusesATokenThatAnotherIssuersKeySigned) {
  TokenClaims claims;
  claims.issuer = ServiceId::kGateway;
  claims.audience = ServiceId::kRegistry;
  claims.principal = owner_;
  claims.issued = clock_.Now();
  claims.expires = clock_.Now() + absl::Minutes(1);
  EXPECT_EQ(ErrorOf(WriteToken(claims, trust_.key(ServiceId::kGateway))), "");
  EXPECT_THAT(ErrorOf(WriteToken(claims, trust_.key(ServiceId::kTraining))),
              HasSubstr("not signed by its issuer"));
  EXPECT_THAT(ErrorOf(WriteToken(claims, Ed25519PrivateKey::Generate())),
              HasSubstr("not signed by a service that is trusted"));
}

TEST_F(TokenVerifierTest, RefusesASignatureOverTheTokenAlone) {
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  const std::string payload = token.substr(0, token.find('.'));
  const std::string signature = trust_.key(ServiceId::kGateway).Sign(*Base64UrlDecode(payload));
  EXPECT_THAT(ErrorOf(payload + "." + Base64UrlEncode(signature)), HasSubstr("not signed by"));
}

TEST_F(TokenVerifierTest, TrainersAndWorkersNeedScopesAndAreNoOperators) {
  EXPECT_EQ(ErrorOf(Write(ServiceId::kTraining, trainer_, ServiceId::kNone)), "");
  EXPECT_EQ(ErrorOf(Write(ServiceId::kController, worker_, ServiceId::kNone)), "");
  for (Principal principal : {trainer_, worker_}) {
    const ServiceId issuer = TestTrust::IssuerOf(principal.caller);
    Principal operator_like = principal;
    operator_like.role = Role::kOperator;
    EXPECT_NE(ErrorOf(Write(issuer, operator_like, ServiceId::kNone)), "");
    principal.scopes.clear();
    EXPECT_THAT(ErrorOf(Write(issuer, principal, ServiceId::kNone)),
                HasSubstr("limited to nothing"));
  }
}

TEST_F(TokenVerifierTest, OnlyTrainersAndWorkersMayNameNoAudience) {
  EXPECT_THAT(ErrorOf(Write(ServiceId::kGateway, owner_, ServiceId::kNone)),
              HasSubstr("names no audience"));
}

TEST_F(TokenVerifierTest, RefusesLifetimesBeyondTheLimit) {
  const auto error = [&](absl::Duration lifetime) {
    return ErrorOf(
        Write(ServiceId::kTraining, trainer_, ServiceId::kNone, absl::ZeroDuration(), lifetime));
  };
  EXPECT_EQ(error(kMaxTokenLifetime), "");
  EXPECT_THAT(error(kMaxTokenLifetime + absl::Seconds(1)), HasSubstr("lifetime"));
  EXPECT_THAT(error(absl::ZeroDuration()), HasSubstr("lifetime"));
  EXPECT_THAT(error(-absl::Seconds(1)), HasSubstr("lifetime"));
}

TEST_F(TokenVerifierTest, RefusesNumbersThatMeanNothing) {
  namespace pb = slipway::options::v1;
  const auto error = [&](auto change) {
    slipway::identity::v1::PrincipalToken token;
    token.set_issuer(pb::SERVICE_GATEWAY);
    token.set_caller(pb::SERVICE_GATEWAY);
    token.set_audience(pb::SERVICE_REGISTRY);
    token.set_role(pb::ROLE_OWNER);
    token.set_issued_unix_seconds(absl::ToUnixSeconds(clock_.Now()));
    token.set_expires_unix_seconds(absl::ToUnixSeconds(clock_.Now()) + 60);
    change(token);
    const std::string payload = token.SerializeAsString();
    const std::string signature =
        trust_.key(ServiceId::kGateway).Sign(std::string("slipway-principal-v1\0", 21) + payload);
    return ErrorOf(Base64UrlEncode(payload) + "." + Base64UrlEncode(signature));
  };
  using Token = slipway::identity::v1::PrincipalToken;
  EXPECT_EQ(error([](Token&) {}), "");
  EXPECT_NE(error([](Token& t) { t.set_role(pb::ROLE_ANY); }), "");
  EXPECT_NE(error([](Token& t) { t.set_role(static_cast<pb::Role>(99)); }), "");
  EXPECT_NE(error([](Token& t) { t.set_role(static_cast<pb::Role>(-1)); }), "");
  EXPECT_NE(error([](Token& t) { t.set_caller(static_cast<pb::Service>(99)); }), "");
  EXPECT_NE(error([](Token& t) { t.set_issuer(static_cast<pb::Service>(99)); }), "");
  EXPECT_NE(error([](Token& t) { t.set_issuer(pb::SERVICE_UNSPECIFIED); }), "");
  EXPECT_NE(error([](Token& t) { t.set_audience(static_cast<pb::Service>(99)); }), "");
  EXPECT_NE(error([](Token& t) { t.set_issued_unix_seconds(INT64_MIN); }), "");
  EXPECT_NE(error([](Token& t) { t.set_expires_unix_seconds(INT64_MAX); }), "");
  EXPECT_NE(error([](Token& t) { t.set_issued_unix_seconds(0); }), "");
}

TEST_F(TokenVerifierTest, FindsAKeyThatAppearsLater) {
  const TempDir empty;
  auto verifier = TokenVerifier::Create(empty.path().string(), ServiceId::kRegistry, clock_);
  ASSERT_TRUE(verifier.ok());
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  EXPECT_FALSE((*verifier)->Verify(token).ok());
  ASSERT_TRUE(WriteFileAtomically(empty / "gateway.pub",
                                  trust_.key(ServiceId::kGateway).public_key().ToPem())
                  .ok());
  EXPECT_FALSE((*verifier)->Verify(token).ok()) << "looked for again within a second";
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE((*verifier)->Verify(token).ok());
}

TEST_F(TokenVerifierTest, BelievesOldAndNewKeyWhileAKeyIsChanged) {
  const std::string by_old = trust_.Token(owner_, ServiceId::kRegistry);
  ASSERT_EQ(ErrorOf(by_old), "");
  const Ed25519PrivateKey fresh = Ed25519PrivateKey::Generate();
  TokenIssuer issuer(ServiceId::kGateway, fresh, clock_);
  const std::string by_new = *issuer.Issue(owner_, ServiceId::kRegistry);
  const std::string path = trust_.folder() + "/gateway.pub";

  const std::string old_pem = trust_.key(ServiceId::kGateway).public_key().ToPem();
  ASSERT_TRUE(WriteFileAtomically(path, old_pem + fresh.public_key().ToPem()).ok());
  EXPECT_EQ(ErrorOf(by_new), "");
  EXPECT_EQ(ErrorOf(by_old), "");

  ASSERT_TRUE(WriteFileAtomically(path, fresh.public_key().ToPem()).ok());
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(ErrorOf(by_new), "");
  EXPECT_THAT(ErrorOf(by_old), HasSubstr("not signed by")) << "though it was cached";
}

TEST_F(TokenVerifierTest, KeepsItsKeysWhileTheFolderCannotBeRead) {
  const std::string token = trust_.Token(owner_, ServiceId::kRegistry);
  ASSERT_TRUE(WriteFileAtomically(trust_.folder() + "/gateway.pub", "half a k").ok());
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(ErrorOf(token), "");
}

TEST_F(TokenVerifierTest, AnswersManyThreadsWhileKeysChange) {
  TokenIssuer issuer(ServiceId::kGateway, trust_.key(ServiceId::kGateway), clock_);
  const std::string pem = *ReadFile(trust_.folder() + "/gateway.pub");
  const std::string more = pem + Ed25519PrivateKey::Generate().public_key().ToPem();
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 300; ++i) {
          Principal principal = owner_;
          principal.tenant = "t" + std::to_string(i % 7);
          const auto token = issuer.Issue(principal, ServiceId::kRegistry);
          const auto who = registry_->Verify(*token);
          if (!who.ok() || (*who)->tenant != principal.tenant) ++wrong;
          if (registry_->Verify(*token + "A").ok()) ++wrong;
          if (t == 0 && i % 30 == 0) clock_.Advance(absl::Minutes(1));
          if (t == 1 && i % 50 == 0) {
            WriteFileAtomically(trust_.folder() + "/gateway.pub", i % 100 == 0 ? more : pem)
                .IgnoreError();
          }
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(TokenVerifierTest, RefusesAFolderWithAFileThatIsNoKey) {
  const TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "training.pub", "hello").ok());
  const auto verifier = TokenVerifier::Create(folder.path().string(), ServiceId::kRegistry, clock_);
  EXPECT_THAT(std::string(verifier.status().message()), HasSubstr("training.pub"));
}

}  // namespace
}  // namespace slipway
