#ifndef SLIPWAY_COMMON_HTTP_CODING_H_
#define SLIPWAY_COMMON_HTTP_CODING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/status/status.h"

namespace slipway::http {

/// How a body or a message is compressed, by the names of Content-Encoding and grpc-encoding.
enum class Coding { kIdentity, kGzip, kDeflate };

/// "identity", "gzip", "deflate", whatever their case; nothing for others.
std::optional<Coding> ParseCoding(std::string_view name);

/// "gzip"
std::string_view CodingName(Coding coding);

/// What an answer to a request with this Accept-Encoding is best sent in.
Coding ChooseCoding(std::string_view accept_encoding);

/// What decoded bytes may cost. A few bytes can stand for a thousand times as many; the more that a
/// caller wants to be held for it, the more it has to send.
struct DecodeLimits {
  uint64_t max_bytes = 32 << 20;
  uint64_t free_bytes = 1 << 20;  ///< so much in any case,
  uint64_t max_ratio = 200;       ///< and beyond that so many for each byte sent.
};

/// The decoded bytes (gzip: one member or more; deflate: in zlib's format). Memory grows with what
/// was decoded, never by a number in the data. Errors: kInvalidArgument (broken, cut short,
/// followed by something else), TooLarge.
absl::StatusOr<std::string> Decode(Coding coding, std::string_view bytes,
                                   const DecodeLimits& limits);

/// Bytes to send: made quickly rather than small. Deflate in zlib's format.
std::string Encode(Coding coding, std::string_view bytes);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_CODING_H_
