#ifndef SLIPWAY_COMMON_IDENTITY_TOKEN_TEXT_H_
#define SLIPWAY_COMMON_IDENTITY_TOKEN_TEXT_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/crypto/ed25519.h"
#include "common/identity/principal.h"
#include "common/status/status.h"

// For the sources and tests of this room only: the text of a token, without any rule about who may
// say what.
namespace slipway {

/// What a token says.
struct TokenClaims {
  ServiceId issuer = ServiceId::kNone;
  ServiceId audience = ServiceId::kNone;
  absl::Time issued;   // whole seconds
  absl::Time expires;  // whole seconds
  Principal principal;
};

std::string WriteToken(const TokenClaims& claims, const Ed25519PrivateKey& key);

/// A token taken apart. Nothing in `payload` has been looked at: that is for after the signature's
/// check.
struct SplitToken {
  std::string payload;
  std::string signature;

  bool SignedBy(const Ed25519PublicKey& key) const;
};

/// Errors of both: kUnauthenticated for what is no token at all.
absl::StatusOr<SplitToken> Split(std::string_view text);
absl::StatusOr<TokenClaims> ParseClaims(const SplitToken& token);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_TOKEN_TEXT_H_
