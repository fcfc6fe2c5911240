#ifndef SLIPWAY_COMMON_HTTP_SERVER_REQUEST_BODY_H_
#define SLIPWAY_COMMON_HTTP_SERVER_REQUEST_BODY_H_

#include <cstdint>
#include <string>

#include "common/http/server/input_buffer.h"
#include "common/http/server/request_parser.h"

namespace slipway::http {

/// How far the body of one request has been read. One thread at a time.
class RequestBody {
 public:
  enum class Result {
    kMore,  ///< All of the input was taken, the end has not come.
    kDone,
    kTooLarge,
    kMalformed  ///< The parser says why.
  };

  /// A request without a body.
  RequestBody() = default;
  RequestBody(const ParsedHead& parsed, uint64_t limit)
      : framing_(parsed.framing),
        left_(parsed.content_length),
        limit_(limit),
        done_(parsed.framing != Framing::kChunked && parsed.content_length == 0) {}

  void set_limit(uint64_t bytes) { limit_ = bytes; }
  uint64_t limit() const { return limit_; }
  bool done() const { return done_; }

  /// A length over the limit is known before a byte has come.
  bool IsAnnouncedTooLarge() const {
    return framing_ == Framing::kLength && read_ + left_ > limit_;
  }

  /// What is still to come, where the request's head told.
  bool has_length() const { return framing_ != Framing::kChunked; }
  uint64_t left() const { return left_; }

  /// Takes what `input` holds of the body and appends it to `sink`.
  Result Take(InputBuffer& input, RequestParser& parser, std::string& sink);

 private:
  Framing framing_ = Framing::kNone;
  uint64_t left_ = 0;  // without kChunked
  uint64_t limit_ = 0;
  uint64_t read_ = 0;
  bool done_ = true;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_REQUEST_BODY_H_
