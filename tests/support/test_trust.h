#ifndef SLIPWAY_TESTS_SUPPORT_TEST_TRUST_H_
#define SLIPWAY_TESTS_SUPPORT_TEST_TRUST_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/crypto/ed25519.h"
#include "common/identity/token.h"
#include "common/time/clock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway {

/// The keys of the three services that issue tokens, and a folder with their public halves: what
/// a test needs to call a service as anybody. `clock` outlives it.
class TestTrust {
 public:
  explicit TestTrust(const Clock& clock = Clock::Real()) : clock_(clock) {
    for (const ServiceId issuer :
         {ServiceId::kGateway, ServiceId::kTraining, ServiceId::kController}) {
      auto key = LoadOrCreateIdentity(issuer, keys_dir_.path().string(), folder());
      EXPECT_TRUE(key.ok()) << key.status();
      keys_.emplace(issuer, *std::move(key));
    }
  }

  /// For TokenVerifier::Create and for services' configs.
  std::string folder() const { return trust_dir_.path().string(); }
  const Ed25519PrivateKey& key(ServiceId issuer) const { return keys_.at(issuer); }

  std::unique_ptr<TokenVerifier> Verifier(ServiceId self) const {
    auto verifier = TokenVerifier::Create(folder(), self, clock_);
    EXPECT_TRUE(verifier.ok()) << verifier.status();
    return *std::move(verifier);
  }

  /// A token for `principal`, whose `caller` chooses who signs.
  std::string Token(const Principal& principal, ServiceId audience) const {
    return TokenBy(clock_, principal, audience);
  }

  /// The same, an hour past its time.
  std::string ExpiredToken(const Principal& principal, ServiceId audience) const {
    const ShiftedClock past(clock_, -absl::Hours(1) - kTokenLifetime);
    return TokenBy(past, principal, audience);
  }

  /// Some principal of tenant "acme" that `caller` may speak for, with the scopes that its token
  /// needs.
  static Principal AnyPrincipal(ServiceId caller) {
    Principal principal;
    principal.tenant = "acme";
    principal.caller = caller;
    principal.role = Role::kOwner;
    if (caller == ServiceId::kTrainer) principal.scopes = {"tenants/acme/jobs/matrix"};
    if (caller == ServiceId::kWorker) principal.scopes = {"tenants/acme/deployments/matrix"};
    return principal;
  }

  /// Who signs for `caller`; kNone where nobody may.
  static ServiceId IssuerOf(ServiceId caller) {
    for (const ServiceId issuer :
         {ServiceId::kGateway, ServiceId::kTraining, ServiceId::kController}) {
      if (MaySpeakFor(issuer, caller)) return issuer;
    }
    return ServiceId::kNone;
  }

 private:
  class ShiftedClock final : public Clock {
   public:
    ShiftedClock(const Clock& clock, absl::Duration by) : clock_(clock), by_(by) {}
    absl::Time Now() const override { return clock_.Now() + by_; }
    absl::Duration Monotonic() const override { return clock_.Monotonic(); }
    void SleepFor(absl::Duration time) const override { clock_.SleepFor(time); }

   private:
    const Clock& clock_;
    const absl::Duration by_;
  };

  std::string TokenBy(const Clock& clock, const Principal& principal, ServiceId audience) const {
    const ServiceId issuer = IssuerOf(principal.caller);
    TokenIssuer tokens(issuer, keys_.at(issuer), clock);
    const auto token = tokens.Issue(principal, audience);
    EXPECT_TRUE(token.ok()) << token.status();
    return token.value_or("");
  }

  const Clock& clock_;
  const TempDir keys_dir_;
  const TempDir trust_dir_;
  std::map<ServiceId, Ed25519PrivateKey> keys_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_TEST_TRUST_H_
