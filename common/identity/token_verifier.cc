#include <atomic>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "common/identity/generation_cache.h"
#include "common/identity/token.h"
#include "common/identity/token_rules.h"
#include "common/identity/token_text.h"
#include "common/identity/trust.h"
#include "common/log/log.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr size_t kCachedTokens = 4096;
// How often the folder is read although nothing is amiss: how long a key that was taken away is
// still believed.
constexpr absl::Duration kRefreshPeriod = absl::Minutes(1);
// The pause between two readings for the sake of tokens that no key fits.
constexpr absl::Duration kRetryPause = absl::Seconds(1);

absl::Status Refused(std::string_view problem) {
  return absl::UnauthenticatedError(std::string(problem));
}

}  // namespace

class TokenVerifier::Impl {
 public:
  Impl(std::string folder, ServiceId self, const Clock& clock, TrustedKeys keys)
      : folder_(std::move(folder)),
        self_(self),
        clock_(clock),
        next_refresh_(absl::ToInt64Nanoseconds(clock.Monotonic() + kRefreshPeriod)),
        keys_(std::make_shared<const TrustedKeys>(std::move(keys))) {}

  absl::StatusOr<std::shared_ptr<const Principal>> Verify(std::string_view text) EXCLUDES(mutex_) {
    if (text.empty()) return Refused("the call carries no token");
    if (text.size() > kMaxTokenBytes) return Refused("the call's token is too long");
    if (TakeTurn(next_refresh_, kRefreshPeriod)) Reload();
    const absl::Time now = clock_.Now();
    {
      MutexLock lock(mutex_);
      if (const Entry* entry = cache_.Find(text)) {
        if (now < entry->good_until) return entry->principal;
        return Expired();
      }
    }

    ASSIGN_OR_RETURN(const SplitToken token, Split(text));
    // The signature first: what a token says is not even parsed before.
    ServiceId signer = SignerOf(token);
    if (signer == ServiceId::kNone && TakeTurn(next_retry_, kRetryPause)) {
      Reload();
      signer = SignerOf(token);
    }
    if (signer == ServiceId::kNone) {
      return Refused("the call's token is not signed by a service that is trusted here");
    }
    ASSIGN_OR_RETURN(TokenClaims claims, ParseClaims(token));
    RETURN_IF_ERROR(CheckClaims(claims, signer, now));
    auto principal = std::make_shared<const Principal>(std::move(claims.principal));
    MutexLock lock(mutex_);
    cache_.Insert(std::string(text), {principal, claims.expires + kTokenClockSkew});
    return principal;
  }

 private:
  struct Entry {
    std::shared_ptr<const Principal> principal;
    absl::Time good_until;
  };

  static absl::Status Expired() { return Refused("the call's token has expired"); }

  // True for one caller each `period`.
  bool TakeTurn(std::atomic<int64_t>& next_nanoseconds, absl::Duration period) {
    const int64_t now = absl::ToInt64Nanoseconds(clock_.Monotonic());
    int64_t next = next_nanoseconds.load(std::memory_order_relaxed);
    return now >= next &&
           next_nanoseconds.compare_exchange_strong(next, now + absl::ToInt64Nanoseconds(period));
  }

  // Whose key made the signature; kNone: nobody's that is trusted.
  ServiceId SignerOf(const SplitToken& token) EXCLUDES(mutex_) {
    std::shared_ptr<const TrustedKeys> trusted;
    {
      MutexLock lock(mutex_);
      trusted = keys_;
    }
    for (const auto& [issuer, keys] : *trusted) {
      for (const Ed25519PublicKey& key : keys) {
        if (token.SignedBy(key)) return issuer;
      }
    }
    return ServiceId::kNone;
  }

  absl::Status CheckClaims(const TokenClaims& claims, ServiceId signer, absl::Time now) const {
    if (claims.issuer != signer) return Refused("the token is not signed by its issuer");
    if (const std::string_view problem = SpeakerProblem(claims); !problem.empty()) {
      return Refused(problem);
    }
    if (claims.audience != self_ && claims.audience != ServiceId::kNone) {
      return Refused(fmt::format("the call's token is meant for {}", ServiceName(claims.audience)));
    }
    if (claims.issued > now + kTokenClockSkew) {
      return Refused("the call's token is not valid yet: the clocks of two machines differ");
    }
    if (now >= claims.expires + kTokenClockSkew) return Expired();
    return absl::OkStatus();
  }

  // Reads the folder again. One that cannot be read leaves things as they are.
  void Reload() EXCLUDES(mutex_) {
    absl::StatusOr<TrustedKeys> fresh = LoadTrustedKeys(folder_);
    if (!fresh.ok()) {
      Log(Severity::kWarning, "trust_folder_not_read",
          {{"folder", folder_}, {"error", fresh.status()}});
      return;
    }
    MutexLock lock(mutex_);
    if (SameKeys(*keys_, *fresh)) return;
    keys_ = std::make_shared<const TrustedKeys>(*std::move(fresh));
    // What a key that has gone had signed is not believed any more.
    cache_.Clear();
  }

  static bool SameKeys(const TrustedKeys& a, const TrustedKeys& b) {
    const auto raw = [](const TrustedKeys& trusted) {
      std::vector<std::pair<ServiceId, std::string>> all;
      for (const auto& [issuer, keys] : trusted) {
        for (const Ed25519PublicKey& key : keys) all.emplace_back(issuer, key.ToRaw());
      }
      return all;
    };
    return raw(a) == raw(b);
  }

  const std::string folder_;
  const ServiceId self_;
  const Clock& clock_;
  std::atomic<int64_t> next_refresh_;
  std::atomic<int64_t> next_retry_ = std::numeric_limits<int64_t>::min();
  Mutex mutex_;
  std::shared_ptr<const TrustedKeys> keys_ GUARDED_BY(mutex_);
  GenerationCache<Entry> cache_ GUARDED_BY(mutex_){kCachedTokens};
};

TokenVerifier::TokenVerifier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TokenVerifier::~TokenVerifier() = default;

absl::StatusOr<std::unique_ptr<TokenVerifier>> TokenVerifier::Create(std::string trust_folder,
                                                                     ServiceId self,
                                                                     const Clock& clock) {
  ASSIGN_OR_RETURN(TrustedKeys keys, LoadTrustedKeys(trust_folder));
  return std::unique_ptr<TokenVerifier>(new TokenVerifier(
      std::make_unique<Impl>(std::move(trust_folder), self, clock, std::move(keys))));
}

absl::StatusOr<std::shared_ptr<const Principal>> TokenVerifier::Verify(
    std::string_view token) const {
  return impl_->Verify(token);
}

}  // namespace slipway
