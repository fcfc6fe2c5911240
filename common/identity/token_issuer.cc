#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/identity/generation_cache.h"
#include "common/identity/token.h"
#include "common/identity/token_rules.h"
#include "common/identity/token_text.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr size_t kCachedTokens = 4096;

void AppendPart(std::string& key, std::string_view part) {
  const auto size = static_cast<uint32_t>(part.size());
  key.append(reinterpret_cast<const char*>(&size), sizeof size);
  key.append(part);
}

// Everything that a token depends on but the time.
std::string CacheKey(const Principal& principal, ServiceId audience) {
  std::string key;
  key.reserve(64 + principal.tenant.size() + principal.key_id.size());
  key.push_back(static_cast<char>(audience));
  key.push_back(static_cast<char>(principal.caller));
  key.push_back(static_cast<char>(principal.role));
  AppendPart(key, principal.tenant);
  AppendPart(key, principal.key_id);
  for (const std::string& scope : principal.scopes) AppendPart(key, scope);
  return key;
}

}  // namespace

class TokenIssuer::Impl {
 public:
  Impl(ServiceId issuer, Ed25519PrivateKey key, const Clock& clock)
      : issuer_(issuer), key_(std::move(key)), clock_(clock) {}

  absl::StatusOr<std::string> Issue(const Principal& principal, ServiceId audience) {
    const absl::Time now = clock_.Now();
    std::string cache_key = CacheKey(principal, audience);
    {
      MutexLock lock(mutex_);
      const Entry* entry = cache_.Find(cache_key);
      // The second bound sees a clock that was set back.
      if (entry != nullptr && now < entry->renew_at && now >= entry->issued) return entry->token;
    }
    ASSIGN_OR_RETURN(std::string token, Make(principal, audience, now, kTokenLifetime));
    MutexLock lock(mutex_);
    cache_.Insert(std::move(cache_key), {token, now, now + kTokenLifetime * 2 / 3});
    return token;
  }

  absl::StatusOr<std::string> Make(const Principal& principal, ServiceId audience, absl::Time now,
                                   absl::Duration lifetime) const {
    TokenClaims claims;
    claims.issuer = issuer_;
    claims.audience = audience;
    claims.issued = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
    claims.expires = claims.issued + absl::Trunc(lifetime, absl::Seconds(1));
    claims.principal = principal;
    if (claims.principal.caller == ServiceId::kNone) claims.principal.caller = issuer_;
    if (const std::string_view problem = SpeakerProblem(claims); !problem.empty()) {
      return absl::InvalidArgumentError(std::string(problem));
    }
    std::string token = WriteToken(claims, key_);
    if (token.size() > kMaxTokenBytes) {
      return absl::InvalidArgumentError(
          fmt::format("the token would have {} bytes, over the limit of {}: it has too many scopes",
                      token.size(), kMaxTokenBytes));
    }
    return token;
  }

  const Clock& clock() const { return clock_; }

 private:
  struct Entry {
    std::string token;
    absl::Time issued;
    absl::Time renew_at;
  };

  const ServiceId issuer_;
  const Ed25519PrivateKey key_;
  const Clock& clock_;
  Mutex mutex_;
  GenerationCache<Entry> cache_ GUARDED_BY(mutex_){kCachedTokens};
};

TokenIssuer::TokenIssuer(ServiceId issuer, Ed25519PrivateKey key, const Clock& clock) {
  if (!MaySpeakFor(issuer, issuer)) {
    std::fprintf(stderr, "service %d may not issue tokens\n", static_cast<int>(issuer));
    std::abort();
  }
  impl_ = std::make_unique<Impl>(issuer, std::move(key), clock);
}

TokenIssuer::~TokenIssuer() = default;

absl::StatusOr<std::string> TokenIssuer::Issue(const Principal& principal, ServiceId audience) {
  return impl_->Issue(principal, audience);
}

absl::StatusOr<std::string> TokenIssuer::IssueLasting(const Principal& principal,
                                                      absl::Duration lifetime) {
  return impl_->Make(principal, ServiceId::kNone, impl_->clock().Now(), lifetime);
}

}  // namespace slipway
