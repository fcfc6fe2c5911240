#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_API_KEY_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_API_KEY_H_

#include <optional>
#include <string>
#include <string_view>

#include "common/crypto/secret.h"

// The text of an API key:
//
//   slw_<environment>_<key id>_<secret><checksum>
//
// environment  1 to 16 lower-case letters and digits; tells a test key from a live one
// key id       "k" and 15 characters of a-z and 2-7; public: names, logs and usage rows carry it
// secret       32 characters of base62: 190 random bits
// checksum     6 characters of base62: the CRC-32 of all before them. It tells a mistyped or cut
//              key, and lets scanners of source code tell a key from other text.
namespace slipway::gateway {

struct NewApiKey {
  std::string id;
  Secret text;
};

/// A fresh key. `environment` is one that IsKeyEnvironment takes.
NewApiKey MakeApiKey(std::string_view environment);

/// Another text for the key of that id.
Secret MakeKeyText(std::string_view environment, std::string_view id);

bool IsKeyEnvironment(std::string_view text);

/// The key id of a well-formed key whose checksum is right, else nothing. Looks nothing up, so a
/// flood of random keys costs only this. The view is into `text`.
std::optional<std::string_view> KeyIdOf(std::string_view text);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_API_KEY_H_
