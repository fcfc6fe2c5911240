#include "common/http/grpc/frames.h"

#include <algorithm>

#include "fmt/format.h"

namespace slipway::http::grpc {
namespace {

struct Header {
  bool compressed = false;
  uint64_t size = 0;
};

// `bytes` holds a header at least.
absl::StatusOr<Header> ReadHeader(std::string_view bytes, Coding coding,
                                  uint64_t max_message_bytes) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  Header header;
  if (byte(0) > 1) {
    return absl::InvalidArgumentError(
        fmt::format("a message's first byte must be 0 or 1, got {}", byte(0)));
  }
  header.compressed = byte(0) == 1;
  if (header.compressed && coding == Coding::kIdentity) {
    return absl::InvalidArgumentError(
        "a message is compressed, and grpc-encoding does not say how");
  }
  header.size = (uint64_t{byte(1)} << 24) | (uint64_t{byte(2)} << 16) | (uint64_t{byte(3)} << 8) |
                uint64_t{byte(4)};
  if (header.size > max_message_bytes) return TooLarge("a message", max_message_bytes);
  return header;
}

absl::StatusOr<Message> OpenMessage(Coding coding, uint64_t max_message_bytes, std::string bytes,
                                    size_t begin) {
  const std::string_view compressed = std::string_view(bytes).substr(begin);
  ASSIGN_OR_RETURN(std::string plain, Decode(coding, compressed, {.max_bytes = max_message_bytes}));
  return Message(std::move(plain), 0);
}

absl::Status CutShort() { return absl::InvalidArgumentError("the body ends within a message"); }

}  // namespace

void FrameReader::Append(std::string piece) {
  if (read_ == bytes_.size()) {
    bytes_ = std::move(piece);
    read_ = 0;
    return;
  }
  bytes_.erase(0, std::exchange(read_, 0));
  bytes_ += piece;
}

absl::StatusOr<std::optional<Message>> FrameReader::Next() {
  const std::string_view rest = std::string_view(bytes_).substr(read_);
  if (rest.size() < kFrameHeaderBytes) return std::nullopt;
  ASSIGN_OR_RETURN(const Header header, ReadHeader(rest, coding_, max_message_bytes_));
  const size_t frame = kFrameHeaderBytes + static_cast<size_t>(header.size);
  if (rest.size() < frame) return std::nullopt;
  std::string bytes;
  size_t begin = 0;
  if (read_ == 0 && rest.size() == frame) {
    bytes = std::exchange(bytes_, {});
    begin = kFrameHeaderBytes;
  } else {
    bytes = rest.substr(kFrameHeaderBytes, frame - kFrameHeaderBytes);
    read_ += frame;
  }
  if (!header.compressed) return Message(std::move(bytes), begin);
  return OpenMessage(coding_, max_message_bytes_, std::move(bytes), begin);
}

absl::Status FrameReader::End() const {
  return read_ == bytes_.size() ? absl::OkStatus() : CutShort();
}

absl::StatusOr<Message> OnlyMessage(std::string body, Coding coding, uint64_t max_message_bytes) {
  if (body.empty()) return absl::InvalidArgumentError("the body holds no message");
  if (body.size() < kFrameHeaderBytes) return CutShort();
  ASSIGN_OR_RETURN(const Header header, ReadHeader(body, coding, max_message_bytes));
  const size_t frame = kFrameHeaderBytes + static_cast<size_t>(header.size);
  if (body.size() < frame) return CutShort();
  if (body.size() > frame) {
    return absl::InvalidArgumentError("this method takes one message, and the body holds more");
  }
  if (!header.compressed) return Message(std::move(body), kFrameHeaderBytes);
  return OpenMessage(coding, max_message_bytes, std::move(body), kFrameHeaderBytes);
}

std::string BeginFrame(size_t message_bytes) {
  std::string frame;
  frame.reserve(kFrameHeaderBytes + message_bytes);
  frame.resize(kFrameHeaderBytes);
  return frame;
}

std::array<char, kFrameHeaderBytes> FrameHeader(size_t message_bytes) {
  std::array<char, kFrameHeaderBytes> header = {};
  for (size_t i = 0; i < 4; ++i) {
    header[1 + i] = static_cast<char>((message_bytes >> (24 - 8 * i)) & 0xff);
  }
  return header;
}

void EndFrame(std::string& frame) {
  const auto header = FrameHeader(frame.size() - kFrameHeaderBytes);
  std::copy(header.begin(), header.end(), frame.begin());
}

}  // namespace slipway::http::grpc
