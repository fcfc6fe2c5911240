#ifndef SLIPWAY_COMMON_CRYPTO_ENCODING_H_
#define SLIPWAY_COMMON_CRYPTO_ENCODING_H_

#include <optional>
#include <string>
#include <string_view>

namespace slipway {

/// Lower-case hex digits.
std::string HexEncode(std::string_view bytes);

/// Nothing for an odd length or anything but hex digits of either case.
std::optional<std::string> HexDecode(std::string_view text);

/// Base64url without padding (RFC 4648, section 5).
std::string Base64UrlEncode(std::string_view bytes);

/// Strict: no padding, no white space, and the unused bits of the last character must be zero, so
/// that each value has exactly one text. Nothing for any other text.
std::optional<std::string> Base64UrlDecode(std::string_view text);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CRYPTO_ENCODING_H_
