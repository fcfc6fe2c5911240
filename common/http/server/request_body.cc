#include "common/http/server/request_body.h"

#include <algorithm>

namespace slipway::http {

RequestBody::Result RequestBody::Take(InputBuffer& input, RequestParser& parser,
                                      std::string& sink) {
  if (done_) return Result::kDone;
  if (IsAnnouncedTooLarge()) return Result::kTooLarge;
  if (input.empty()) return Result::kMore;
  const size_t before = sink.size();
  if (framing_ == Framing::kLength) {
    const size_t bytes = std::min<uint64_t>(input.size(), left_);
    sink.append(input.view().substr(0, bytes));
    input.Consume(bytes);
    left_ -= bytes;
    done_ = left_ == 0;
  } else {
    size_t consumed = 0;
    const RequestParser::Result result = parser.ParseChunks(input.view(), consumed, sink);
    if (result == RequestParser::Result::kError) return Result::kMalformed;
    input.Consume(consumed);
    done_ = result == RequestParser::Result::kDone;
  }
  read_ += sink.size() - before;
  if (read_ > limit_) return Result::kTooLarge;
  return done_ ? Result::kDone : Result::kMore;
}

}  // namespace slipway::http
