#ifndef SLIPWAY_COMMON_HTTP_GRPC_FRAMES_H_
#define SLIPWAY_COMMON_HTTP_GRPC_FRAMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/http/coding.h"
#include "common/status/status.h"

// Messages in a body, as gRPC has them: one byte that says whether it is compressed, its length in
// four bytes, most significant first, and its bytes.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
namespace slipway::http::grpc {

inline constexpr size_t kFrameHeaderBytes = 5;

/// A message and the bytes that it lies in. Moves.
class Message {
 public:
  Message() = default;
  Message(std::string bytes, size_t begin) : bytes_(std::move(bytes)), begin_(begin) {}
  std::string_view view() const { return std::string_view(bytes_).substr(begin_); }

 private:
  std::string bytes_;
  size_t begin_ = 0;
};

/// Takes a body apart as it comes. Not for several threads at once. Errors are final:
/// kInvalidArgument (a flag that is none, compressed without a grpc-encoding, broken, cut short),
/// TooLarge (before the message has arrived; compressed or not).
class FrameReader {
 public:
  /// `coding`: of the messages that are marked as compressed.
  FrameReader(Coding coding, uint64_t max_message_bytes)
      : coding_(coding), max_message_bytes_(max_message_bytes) {}

  /// Takes the next piece of the body over.
  void Append(std::string piece);

  /// The next message; nothing until more has been appended.
  absl::StatusOr<std::optional<Message>> Next();

  /// The body is at its end: an error where a message is not.
  absl::Status End() const;

 private:
  const Coding coding_;
  const uint64_t max_message_bytes_;
  std::string bytes_;
  size_t read_ = 0;  // of bytes_
};

/// The only message of a whole body. Errors: as FrameReader; kInvalidArgument where there is none
/// or more than one.
absl::StatusOr<Message> OnlyMessage(std::string body, Coding coding, uint64_t max_message_bytes);

/// What stands before a message that is not compressed.
std::array<char, kFrameHeaderBytes> FrameHeader(size_t message_bytes);

/// A frame is written in place: begun, its message appended to it, then ended.
std::string BeginFrame(size_t message_bytes);
void EndFrame(std::string& frame);

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_GRPC_FRAMES_H_
