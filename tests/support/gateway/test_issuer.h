#ifndef SLIPWAY_TESTS_SUPPORT_GATEWAY_TEST_ISSUER_H_
#define SLIPWAY_TESTS_SUPPORT_GATEWAY_TEST_ISSUER_H_

#include <memory>
#include <string>

#include "nlohmann/json_fwd.hpp"

namespace slipway::gateway {

/// Keys that sign tokens, as an issuer has them.
class TestSigner {
 public:
  TestSigner();
  ~TestSigner();

  /// `algorithm`: RS256 (2048 bits) or ES256.
  void NewKey(const std::string& id, const std::string& algorithm);
  void DropKey(const std::string& id);

  /// The public halves: {"keys": [...]}.
  std::string KeySet() const;

  /// A token of these claims, signed by that key and its algorithm, with the key's name in its
  /// head, or `shown_id` instead.
  std::string Sign(const nlohmann::json& claims, const std::string& id,
                   const std::string& shown_id = "") const;
  /// The classic forgeries: "signed" by nothing; and by HMAC, the key being the public key's text.
  static std::string SignByNothing(const nlohmann::json& claims, const std::string& id);
  std::string SignByPublicKey(const nlohmann::json& claims, const std::string& id) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// An OpenID Connect issuer on a free port: a discovery document, and the signer's public keys.
class TestIssuer {
 public:
  TestIssuer();
  ~TestIssuer();

  TestSigner& signer();
  /// "http://127.0.0.1:41234"
  std::string url() const;
  /// While it is away it answers 503.
  void SetAway(bool away);
  /// How often its keys were asked for.
  int reads() const;

  /// iss, aud "slipway", sub `subject`, exp in an hour after `now_seconds`.
  nlohmann::json Claims(const std::string& subject, int64_t now_seconds) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_SUPPORT_GATEWAY_TEST_ISSUER_H_
