#include "services/gateway/identity/oidc_tokens.h"

#include <utility>

#include "common/crypto/hash.h"
#include "common/jose/json_web_keys.h"
#include "common/log/log.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {
namespace {

constexpr size_t kCachedTokens = 4096;
constexpr absl::Duration kLook = absl::Seconds(1);

}  // namespace

OidcTokens::OidcTokens(const std::vector<OidcIssuerConfig>& issuers, const KeyTable& keys,
                       const Clock& clock)
    : keys_(keys), cache_(kCachedTokens) {
  for (const OidcIssuerConfig& issuer : issuers) {
    issuers_.push_back(std::make_unique<OidcIssuer>(issuer, clock));
  }
}

void OidcTokens::Start() {
  if (issuers_.empty()) return;
  thread_.Start(kLook, RepeatingThread::First::kAtOnce, [this] { ReadKeys(); });
}

absl::StatusOr<std::shared_ptr<const KnownKey>> OidcTokens::Authenticate(std::string_view token) {
  // The cache holds no token that somebody could use.
  const Sha256Bytes digest = Sha256Of(token);
  Entry entry;
  {
    MutexLock lock(cache_mutex_);
    if (const Entry* known = cache_.Find(AsView(digest))) entry = *known;
  }
  const absl::Status holds =
      entry.issuer == nullptr ? absl::UnavailableError("") : entry.issuer->StillHolds(entry.grant);
  if (absl::IsUnavailable(holds)) {
    ASSIGN_OR_RETURN(entry, Check(token));
    MutexLock lock(cache_mutex_);
    cache_.Insert(std::string(AsView(digest)), entry);
  } else {
    RETURN_IF_ERROR(holds);
  }
  RETURN_IF_ERROR(keys_.CheckTenant(entry.grant.key->principal.tenant));
  return entry.grant.key;
}

absl::StatusOr<OidcTokens::Entry> OidcTokens::Check(std::string_view token) {
  ASSIGN_OR_RETURN(const nlohmann::json claims, UncheckedClaims(token));
  const auto issuer = claims.find("iss");
  for (const auto& known : issuers_) {
    if (issuer == claims.end() || *issuer != known->config().issuer) continue;
    absl::StatusOr<OidcIssuer::Grant> grant = known->Check(token);
    if (absl::IsUnavailable(grant.status())) thread_.Wake();
    RETURN_IF_ERROR(grant.status());
    return Entry{known.get(), *std::move(grant)};
  }
  return absl::UnauthenticatedError("the bearer token is of an issuer that is not known here");
}

void OidcTokens::ReadKeys() {
  for (const auto& issuer : issuers_) {
    if (!issuer->wants_keys()) continue;
    const absl::Status read = issuer->ReadKeys();
    if (!read.ok()) {
      Log(Severity::kWarning, "oidc_keys_not_read",
          {{"issuer", issuer->config().issuer}, {"error", read}});
    }
  }
}

}  // namespace slipway::gateway
