#ifndef SLIPWAY_COMMON_JOSE_JSON_WEB_KEYS_H_
#define SLIPWAY_COMMON_JOSE_JSON_WEB_KEYS_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

// Signed tokens of others: JWS in its compact form (RFC 7515) by public keys (RFC 7517), on
// Debian's cjose.
namespace slipway {

/// The algorithms that a public key can check and that JsonWebKeys knows: RS256, RS384, RS512,
/// PS256, PS384, PS512, ES256, ES384, ES512. There is no "none", and nothing by a shared secret.
bool IsSignatureAlgorithm(std::string_view name);

/// A token's claims as it states them: nothing of it has been checked. Only to see who should have
/// signed it. Errors: kUnauthenticated for what is no token.
absl::StatusOr<nlohmann::json> UncheckedClaims(std::string_view token);

/// Has `text` the form of a token (three parts of base64url)? Costs little.
bool LooksLikeToken(std::string_view text);

/// The public keys of one issuer. Immutable; any thread.
class JsonWebKeys {
 public:
  /// A set of keys as issuers publish it: {"keys": [...]}. Keys that are not for signatures, of
  /// unknown types, secrets, and RSA keys under 2048 bits are left out. Errors: kInvalidArgument
  /// (no set; nothing is left of it).
  static absl::StatusOr<JsonWebKeys> Parse(std::string_view text);
  JsonWebKeys(JsonWebKeys&&) noexcept;
  JsonWebKeys& operator=(JsonWebKeys&&) noexcept;
  ~JsonWebKeys();

  /// The claims of a token that one of these keys has signed by one of `algorithms`. The key is
  /// the one that the token names, and must be of the algorithm's type; a token may leave the name
  /// out where there is one key only. Times and audience are the caller's to check.
  /// Errors: kNotFound (no key of that name: it may be a new one), kUnauthenticated.
  absl::StatusOr<nlohmann::json> Verify(std::string_view token,
                                        const std::vector<std::string>& algorithms) const;

 private:
  struct Impl;
  explicit JsonWebKeys(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_JOSE_JSON_WEB_KEYS_H_
