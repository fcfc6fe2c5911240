#ifndef SLIPWAY_COMMON_HTTP_CHANNEL_ANSWER_H_
#define SLIPWAY_COMMON_HTTP_CHANNEL_ANSWER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/cord.h"
#include "common/status/status.h"

namespace slipway::http::grpc {

/// How a call ended.
struct Outcome {
  absl::Status status;
  absl::Cord message = {};  ///< where `status` is OK
  /// The server did not get the request, or says that it did nothing with it: the call may be
  /// made again, there or elsewhere.
  bool never_sent = false;
  /// The server itself says so, in its trailers; otherwise the call was cut short or never begun.
  bool from_server = false;
};

/// The answer to a call with one message each way, as it comes in. One thread at a time.
class Answer {
 public:
  explicit Answer(uint64_t max_message_bytes) : max_message_bytes_(max_message_bytes) {}

  /// A field of its head or of its trailers.
  void TakeField(std::string_view name, std::string_view value);

  /// A piece of its body. False where it becomes larger than it may: the call has failed.
  bool TakeBody(std::string_view piece);

  bool begun() const { return http_status_ != 0; }

  /// How it ended, once no more comes: with its last byte where `error` is empty, otherwise cut by
  /// the server with that HTTP/2 error code.
  Outcome Finish(std::optional<uint32_t> error);

 private:
  absl::Status Status() const;
  absl::StatusOr<absl::Cord> TakeMessage();

  const uint64_t max_message_bytes_;
  int http_status_ = 0;
  std::optional<int> code_;  // grpc-status
  std::string text_;         // grpc-message, still encoded
  std::string details_;      // grpc-status-details-bin, still encoded
  std::string body_;
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_CHANNEL_ANSWER_H_
