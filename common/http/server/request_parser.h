#ifndef SLIPWAY_COMMON_HTTP_SERVER_REQUEST_PARSER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_REQUEST_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/http/server/server.h"

namespace slipway::http {

/// How a request's body is delimited (RFC 9112, 6.3).
enum class Framing { kNone, kLength, kChunked };

struct ParsedHead {
  RequestHead head;  ///< Without peer_address and request_id.
  Framing framing = Framing::kNone;
  uint64_t content_length = 0;  ///< With kLength; kNone stands for a length of 0.
  bool keep_alive = false;
  bool expects_continue = false;
};

/// What a request that cannot be read is answered.
struct ParseError {
  int status = 400;
  Refusal refusal = Refusal::kMalformed;
  std::string_view code = "malformed";
  std::string_view message = {};
};

inline constexpr size_t kMaxHeaderFields = 256;

inline constexpr ParseError kHeaderTooLarge = {
    .status = 431,
    .refusal = Refusal::kHeaderTooLarge,
    .code = "header_too_large",
    .message = "the request line and header are too large"};

inline constexpr ParseError kBadExpectation = {
    .status = 417,
    .code = "expectation_failed",
    .message = "Expect: only 100-continue is understood"};

/// Whether a Host is a name and perhaps a port, and nothing that some parser reads otherwise.
bool IsHost(std::string_view text);

/// Reads HTTP/1.x requests from bytes as they come; knows no sockets. Beast's parser does the
/// reading; on top of it everything is refused that another parser on the way might have read
/// differently (request smuggling): Content-Length with Transfer-Encoding or twice, an encoding
/// other than "chunked", folded fields, bare line feeds, no Host or two.
/// One thread at a time. After an error nothing more can be read.
class RequestParser {
 public:
  enum class Result { kNeedMore, kDone, kError };

  explicit RequestParser(size_t max_header_bytes);
  ~RequestParser();

  /// `input` holds all bytes of the request so far: those of earlier calls that gave kNeedMore,
  /// and new ones. On kDone the head took `consumed` bytes of it.
  Result ParseHead(std::string_view input, size_t& consumed, ParsedHead& parsed);

  /// After a head with Framing::kChunked: decodes what `input` holds of the body and appends it
  /// to `body`. kDone at the body's end (trailers are read and dropped). Bytes beyond `consumed`
  /// must come again, with more behind them.
  Result ParseChunks(std::string_view input, size_t& consumed, std::string& body);

  const ParseError& error() const { return error_; }

 private:
  class Beast;

  Result Fail(std::string_view message);
  Result Fail(const ParseError& error);
  Result FindEndOfHead(std::string_view input, size_t& end);

  const size_t max_header_bytes_;
  size_t scanned_ = 0;     // bytes of the head that FindEndOfHead has seen
  size_t line_start_ = 0;  // where the line begins that scanned_ is in
  std::unique_ptr<Beast> beast_;
  ParseError error_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_REQUEST_PARSER_H_
