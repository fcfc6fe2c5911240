#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_PEPPER_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_PEPPER_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/crypto/hash.h"
#include "common/status/status.h"

namespace slipway::gateway {

/// The keys under which API keys are stored: the database holds HMAC-SHA-256(pepper, key) only,
/// and the peppers live in a file outside of it, so that neither alone lets anybody guess.
///
/// The file has one line a version, "<number> <hex digits, 32 bytes or more>"; hex digits alone are
/// version 1; '#' starts a comment. New keys take the highest version; older ones stay for the keys
/// that were made under them. Immutable; any thread.
class Peppers {
 public:
  /// Errors: kNotFound; kInvalidArgument for a file without a version, with a short pepper or a
  /// number twice, or that other users may read.
  static absl::StatusOr<Peppers> Load(const std::string& path);

  /// Makes a file with version 1, mode 0600. kAlreadyExists where there is one.
  static absl::Status Create(const std::string& path);

  int64_t newest() const { return by_version_.rbegin()->first; }

  /// What is stored for a key, or nothing for a version that the file does not have.
  std::optional<Sha256Bytes> Mac(int64_t version, std::string_view key_text) const;

 private:
  std::map<int64_t, HmacSha256Key> by_version_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_PEPPER_H_
