#include "common/http/channel/answer.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/http/grpc/frames.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "slipway/status/v1/status.pb.h"

namespace slipway::http::grpc {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// What is wrongly encoded stays as it is.
std::string DecodeText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// What a message's header says.
uint64_t SizeIn(std::string_view header) {
  uint64_t size = 0;
  for (size_t i = 1; i < kFrameHeaderBytes; ++i) {
    size = (size << 8) | static_cast<uint8_t>(header[i]);
  }
  return size;
}

// As gRPC maps what a server that speaks none answers.
absl::StatusCode CodeOfHttp(int http_status) {
  switch (http_status) {
    case 400:
      return absl::StatusCode::kInternal;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kUnknown;
  }
}

absl::StatusCode CodeOfReset(uint32_t error) {
  switch (error) {
    case NGHTTP2_REFUSED_STREAM:
      return absl::StatusCode::kUnavailable;
    case NGHTTP2_CANCEL:
      return absl::StatusCode::kCancelled;
    case NGHTTP2_ENHANCE_YOUR_CALM:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

void Answer::TakeField(std::string_view name, std::string_view value) {
  if (name == ":status") {
    http_status_ = ParseNumber<int>(value).value_or(0);
  } else if (name == "grpc-status") {
    // A code that nobody knows is kUnknown.
    const int code = ParseNumber<int>(value).value_or(-1);
    code_ = code >= 0 && code <= 16 ? code : static_cast<int>(absl::StatusCode::kUnknown);
  } else if (name == "grpc-message") {
    text_ = value;
  } else if (name == "grpc-status-details-bin") {
    details_ = value;
  }
}

bool Answer::TakeBody(std::string_view piece) {
  const uint64_t limit = max_message_bytes_ + kFrameHeaderBytes;
  if (body_.size() > limit) return true;  // known to have failed
  if (body_.empty() && piece.size() >= kFrameHeaderBytes) {
    body_.reserve(std::min(SizeIn(piece) + kFrameHeaderBytes, limit));
  }
  body_.append(piece, 0, limit + 1 - body_.size());
  return body_.size() <= limit;
}

absl::Status Answer::Status() const {
  if (!code_.has_value()) {
    if (http_status_ == 200) return absl::InternalError("the answer has no grpc-status");
    return {CodeOfHttp(http_status_), fmt::format("the answer is HTTP's {}", http_status_)};
  }
  if (*code_ == 0) return absl::OkStatus();
  absl::Status status(static_cast<absl::StatusCode>(*code_), DecodeText(text_));
  // Senders may leave the padding out; Abseil bears both.
  status::v1::StatusDetails details;
  if (std::string bytes; !details_.empty() && absl::Base64Unescape(details_, &bytes) &&
                         details.ParseFromString(bytes)) {
    for (const auto& detail : details.details()) {
      status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return status;
}

Outcome Answer::Finish(std::optional<uint32_t> error) {
  if (body_.size() > max_message_bytes_ + kFrameHeaderBytes) {
    return {.status = TooLarge("the answer", max_message_bytes_)};
  }
  if (error.has_value()) {
    return {.status = {CodeOfReset(*error),
                       fmt::format("the server cut the call: {}", nghttp2_http2_strerror(*error))},
            .never_sent = *error == NGHTTP2_REFUSED_STREAM};
  }
  Outcome outcome{.status = Status(), .from_server = code_.has_value()};
  if (!outcome.status.ok()) return outcome;
  absl::StatusOr<absl::Cord> message = TakeMessage();
  if (message.ok()) {
    outcome.message = *std::move(message);
  } else {
    outcome.status = message.status();
  }
  return outcome;
}

// The only message of the body.
absl::StatusOr<absl::Cord> Answer::TakeMessage() {
  if (body_.size() < kFrameHeaderBytes) return absl::InternalError("the answer holds no message");
  // No coding was said to be understood.
  if (body_[0] != 0) return absl::InternalError("the answer's message is compressed");
  if (SizeIn(body_) != body_.size() - kFrameHeaderBytes) {
    return absl::InternalError("the answer does not hold one whole message");
  }
  absl::Cord message(std::exchange(body_, {}));
  message.RemovePrefix(kFrameHeaderBytes);
  return message;
}

}  // namespace slipway::http::grpc
