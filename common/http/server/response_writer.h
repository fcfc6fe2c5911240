#ifndef SLIPWAY_COMMON_HTTP_SERVER_RESPONSE_WRITER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_RESPONSE_WRITER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/http/message.h"

namespace slipway::http {

/// What the connection knows about an answer beside the handler's own fields.
struct ResponseFrame {
  int http_version = 11;
  bool keep_alive = true;
  bool chunked = false;
  std::optional<uint64_t> content_length = std::nullopt;
  std::string_view request_id = {};  ///< "" for none.
  absl::Time now = absl::UnixEpoch();
};

/// Appends the status line and header, with the empty line. The handler's framing fields
/// (Content-Length, Transfer-Encoding, Connection, Keep-Alive) give way to the frame's; names
/// that are no tokens are left out, control characters in values become spaces, so that no value
/// can start a field of its own.
void AppendResponseHead(std::string& out, int status, const Headers& headers,
                        const ResponseFrame& frame);

/// Appends trailers after a last chunk, cleaned the same way, with the empty line.
void AppendTrailers(std::string& out, const Headers& trailers);

/// Whether a field of that name may stand in an answer: a token, and not one by which a connection
/// frames its messages.
bool MaySendField(std::string_view name);

/// Appends `value` with its control characters made spaces.
void AppendFieldValue(std::string& out, std::string_view value);

/// "Sun, 06 Nov 1994 08:49:37 GMT". The view lasts until the thread's next call.
std::string_view HttpDate(absl::Time now);

/// True for an answer that has no body whatever its fields say (RFC 9110, 6.4.1).
bool IsBodiless(int status, std::string_view request_method);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_RESPONSE_WRITER_H_
