#ifndef SLIPWAY_COMMON_IDENTITY_TOKEN_H_
#define SLIPWAY_COMMON_IDENTITY_TOKEN_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/crypto/ed25519.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/time/clock.h"

// The token that every internal call carries in metadata `slipway-principal`:
//
//   base64url(PrincipalToken) "." base64url(Ed25519 signature)
//
// The signature covers "slipway-principal-v1", a zero byte, and the serialized PrincipalToken.
// Three services sign, each for its own callers only:
//
//   gateway     caller GATEWAY, any principal
//   training    callers TRAINING and TRAINER (the latter needs scopes)
//   controller  callers CONTROLLER and WORKER (the latter needs scopes)
namespace slipway {

/// Longer ones are refused before they are looked at.
inline constexpr size_t kMaxTokenBytes = 4096;
/// How far the clocks of two machines may differ.
inline constexpr absl::Duration kTokenClockSkew = absl::Seconds(30);
/// How long a token of TokenIssuer::Issue lives.
inline constexpr absl::Duration kTokenLifetime = absl::Minutes(5);
/// No token lives longer.
inline constexpr absl::Duration kMaxTokenLifetime = absl::Hours(24 * 30);

/// "gateway", "registry", "training", "trainer", "controller", "worker"; "" for kNone.
std::string_view ServiceName(ServiceId service);
/// kNone for any other text.
ServiceId ServiceByName(std::string_view name);

/// True where `issuer` may sign for calls of `caller`.
bool MaySpeakFor(ServiceId issuer, ServiceId caller);

/// Makes tokens. Any thread.
class TokenIssuer {
 public:
  /// `issuer` is the gateway, training or the controller, else this aborts. `clock` outlives this.
  TokenIssuer(ServiceId issuer, Ed25519PrivateKey key, const Clock& clock);
  ~TokenIssuer();

  /// A token for a call to `audience` on behalf of `principal`, whose `caller` says which service
  /// will make the call (kNone: the issuer itself). Made once per principal and audience, and
  /// again when two thirds of kTokenLifetime are over: a hit costs one look-up.
  /// Errors: kInvalidArgument (the issuer may not speak for that caller, a trainer or worker
  /// without scopes, a token over kMaxTokenBytes).
  absl::StatusOr<std::string> Issue(const Principal& principal, ServiceId audience);

  /// A token that a trainer or worker is launched with: good for every service (audience kNone),
  /// for `lifetime`. Not kept. Errors as above, and a lifetime over kMaxTokenLifetime.
  absl::StatusOr<std::string> IssueLasting(const Principal& principal, absl::Duration lifetime);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Checks tokens against the public keys of a folder: `gateway.pub`, `training.pub`,
/// `controller.pub` (PEM, one or more keys each). Services may start in any order and keys may be
/// changed while they run: the folder is read again when a token fits no key, at most once a
/// second, and every minute, after which a key that was taken away is not believed any more. Any
/// thread.
class TokenVerifier {
 public:
  /// `self` is the service that is called: tokens for another audience are refused. `clock`
  /// outlives this. The folder may still be empty; files in it that are no keys are an error.
  static absl::StatusOr<std::unique_ptr<TokenVerifier>> Create(std::string trust_folder,
                                                               ServiceId self, const Clock& clock);
  ~TokenVerifier();

  /// Who speaks. A positive answer is kept until the token expires (bounded), so that the next
  /// check of the same text is one look-up; the answer is shared, not copied.
  /// Errors: kUnauthenticated with a message fit for the caller.
  absl::StatusOr<std::shared_ptr<const Principal>> Verify(std::string_view token) const;

 private:
  class Impl;
  explicit TokenVerifier(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The service's own key: loads `<folder>/<service>.key`, or makes it on the first start, and sees
/// to it that `<trust_folder>/<service>.pub` holds its public half. Both folders exist.
absl::StatusOr<Ed25519PrivateKey> LoadOrCreateIdentity(ServiceId service, const std::string& folder,
                                                       const std::string& trust_folder);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_TOKEN_H_
