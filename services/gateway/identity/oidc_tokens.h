#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_TOKENS_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_TOKENS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/identity/generation_cache.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/sync/repeating_thread.h"
#include "common/time/clock.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/identity/oidc_config.h"
#include "services/gateway/identity/oidc_issuer.h"

namespace slipway::gateway {

/// Bearer tokens of people and of Kubernetes service accounts, by OpenID Connect. A token is
/// checked once and its grant kept (bounded) until it expires, its issuer's keys are read again or
/// it is pushed out; no check waits for an issuer, whose keys a thread reads. Any thread.
class OidcTokens {
 public:
  /// `keys` (which knows the tenants) and `clock` outlive this.
  OidcTokens(const std::vector<OidcIssuerConfig>& issuers, const KeyTable& keys,
             const Clock& clock);

  /// Starts to read the issuers' keys.
  void Start();

  /// Whose token this is, as KeyTable::Authenticate says it of a key. Errors: kUnauthenticated,
  /// kPermissionDenied (no rule fits; the tenant is suspended), kUnavailable.
  absl::StatusOr<std::shared_ptr<const KnownKey>> Authenticate(std::string_view token);

  /// Reads the keys of each issuer that wants it. Blocks.
  void ReadKeys();

 private:
  struct Entry {
    OidcIssuer* issuer = nullptr;
    OidcIssuer::Grant grant;
  };

  absl::StatusOr<Entry> Check(std::string_view token);

  const KeyTable& keys_;
  std::vector<std::unique_ptr<OidcIssuer>> issuers_;
  Mutex cache_mutex_;
  GenerationCache<Entry> cache_ GUARDED_BY(cache_mutex_);
  RepeatingThread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_TOKENS_H_
