#ifndef SLIPWAY_COMMON_CRYPTO_ED25519_H_
#define SLIPWAY_COMMON_CRYPTO_ED25519_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/crypto/secret.h"
#include "common/status/status.h"

struct evp_pkey_st;

namespace slipway {

/// The public half of an Ed25519 key pair (RFC 8032). Immutable; copies share it; any thread.
class Ed25519PublicKey {
 public:
  /// From its 32 bytes.
  static absl::StatusOr<Ed25519PublicKey> FromRaw(std::string_view bytes);

  /// From PEM ("BEGIN PUBLIC KEY"): one or more keys one after another, so that a folder of trust
  /// can hold the old and the new one while a key is changed. Refuses other kinds of keys.
  /// `what` names the text in errors.
  static absl::StatusOr<std::vector<Ed25519PublicKey>> AllFromPem(std::string_view pem,
                                                                  std::string_view what);

  std::string ToRaw() const;
  std::string ToPem() const;

  /// True when `signature` (64 bytes) was made over `message` by the private half.
  bool Verify(std::string_view message, std::string_view signature) const;

 private:
  friend class Ed25519PrivateKey;
  explicit Ed25519PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  std::shared_ptr<evp_pkey_st> key_;
};

/// The private half. Immutable; copies share it; any thread.
class Ed25519PrivateKey {
 public:
  static Ed25519PrivateKey Generate();

  /// From its 32-byte seed.
  static absl::StatusOr<Ed25519PrivateKey> FromSeed(std::string_view seed);

  /// From PKCS #8 PEM without a password. Errors: kNotFound and what open() gives, and
  /// kInvalidArgument for a file that holds no Ed25519 key or that other users may read or write
  /// (a mounted Kubernetes secret is readable by its group: that is allowed).
  static absl::StatusOr<Ed25519PrivateKey> Load(const std::string& path);

  /// Writes PKCS #8 PEM with mode 0600, synced. Never overwrites: kAlreadyExists.
  absl::Status Save(const std::string& path) const;

  Ed25519PublicKey public_key() const;

  /// 64 bytes.
  std::string Sign(std::string_view message) const;

 private:
  explicit Ed25519PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CRYPTO_ED25519_H_
