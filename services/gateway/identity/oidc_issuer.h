#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_ISSUER_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_ISSUER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/jose/json_web_keys.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "nlohmann/json_fwd.hpp"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/identity/oidc_config.h"

namespace slipway::gateway {

/// One OpenID Connect issuer: its public keys, as they were read last, and what its tokens are
/// worth here. Any thread.
class OidcIssuer {
 public:
  /// `config` passed its Check(); `clock` outlives this.
  OidcIssuer(const OidcIssuerConfig& config, const Clock& clock);

  struct Grant {
    std::shared_ptr<const KnownKey> key;
    absl::Time not_before;
    absl::Time expires;
    /// Of the issuer's keys by which it was checked.
    int64_t generation = 0;
  };
  /// What a token is worth: signature, issuer, audience, times and rules. Reads nothing from the
  /// network. Errors, with messages fit for the caller: kUnauthenticated, kPermissionDenied (no
  /// rule fits), kUnavailable (its keys are not known, or are too old, or its key may be new: then
  /// wants_keys() is true).
  absl::StatusOr<Grant> Check(std::string_view token);
  /// May the grant still be used? kUnavailable: only after another Check().
  absl::Status StillHolds(const Grant& grant) const;

  /// Reads its keys again. Blocks. Errors: what HTTP says, kInvalidArgument.
  absl::Status ReadKeys();
  /// Is it time to?
  bool wants_keys() const;

  const OidcIssuerConfig& config() const { return config_; }

 private:
  struct Keys {
    std::shared_ptr<const JsonWebKeys> keys;  // null: none was read yet
    int64_t generation = 0;
    absl::Duration read_at = -absl::InfiniteDuration();  // monotonic
    absl::Duration tried_at = -absl::InfiniteDuration();
    bool wanted = true;
  };

  absl::StatusOr<Keys> UsableKeys() const;
  absl::StatusOr<nlohmann::json> VerifiedClaims(const Keys& keys, std::string_view token);
  absl::Status CheckTimes(const Grant& grant) const;
  absl::StatusOr<Grant> GrantFor(const nlohmann::json& claims) const;
  absl::StatusOr<std::string> Fetch(const std::string& url) const;

  const OidcIssuerConfig config_;
  const Clock& clock_;
  mutable Mutex mutex_;
  Keys keys_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_OIDC_ISSUER_H_
