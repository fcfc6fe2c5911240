#ifndef SLIPWAY_COMMON_IDENTITY_TOKEN_RULES_H_
#define SLIPWAY_COMMON_IDENTITY_TOKEN_RULES_H_

#include <string_view>

#include "common/identity/token.h"
#include "common/identity/token_text.h"

// For the sources of this room only.
namespace slipway {

/// What is wrong with who speaks for whom in a token, or "": the same for the issuer, which does
/// not sign such a token, and for the verifier, which does not believe one.
inline std::string_view SpeakerProblem(const TokenClaims& claims) {
  const Principal& principal = claims.principal;
  if (!MaySpeakFor(claims.issuer, principal.caller)) {
    return "the token's issuer may not speak for its caller";
  }
  const bool launched =
      principal.caller == ServiceId::kTrainer || principal.caller == ServiceId::kWorker;
  if (launched && principal.scopes.empty()) {
    return "the token of a trainer or worker is limited to nothing";
  }
  if (launched && principal.role == Role::kOperator) {
    return "a trainer or worker is no operator";
  }
  if (!launched && claims.audience == ServiceId::kNone) return "the token names no audience";
  if (claims.expires <= claims.issued || claims.expires - claims.issued > kMaxTokenLifetime) {
    return "the token's lifetime is not allowed";
  }
  return "";
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_TOKEN_RULES_H_
