#include "tests/integration/http/http2_peer.h"

#include <nghttp2/nghttp2.h>

#include <cstdlib>
#include <utility>

namespace slipway::http {
namespace {

uint32_t ReadNumber(std::string_view bytes) {
  uint32_t number = 0;
  for (const char c : bytes.substr(0, 4)) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

// An HPACK integer with `bits` of prefix (RFC 7541, 5.1).
void AppendInteger(std::string& out, size_t number, int bits) {
  const size_t full = (size_t{1} << bits) - 1;
  if (number < full) {
    out.push_back(static_cast<char>(number));
    return;
  }
  out.push_back(static_cast<char>(full));
  for (number -= full; number >= 128; number /= 128) {
    out.push_back(static_cast<char>(number % 128 + 128));
  }
  out.push_back(static_cast<char>(number));
}

Headers Request(std::string_view method, std::string_view path) {
  return {{":method", method}, {":scheme", "http"}, {":authority", "x"}, {":path", path}};
}

}  // namespace

uint32_t Http2Peer::Frame::number() const { return ReadNumber(payload); }

Http2Peer::Http2Peer(const std::string& address) : raw_(address) {
  if (nghttp2_hd_inflate_new(&inflater_) != 0) std::abort();
  Send(std::string(kPreface) + Make(kSettings, 0, 0, ""));
}

Http2Peer::~Http2Peer() { nghttp2_hd_inflate_del(inflater_); }

std::string Http2Peer::Number(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16),
          static_cast<char>(number >> 8), static_cast<char>(number)};
}

std::string Http2Peer::Make(uint8_t type, uint8_t flags, uint32_t stream,
                            std::string_view payload) {
  std::string frame = Number(static_cast<uint32_t>(payload.size())).substr(1);
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  return frame.append(Number(stream)).append(payload);
}

std::string Http2Peer::Block(const Headers& fields) {
  std::string block;
  for (const Headers::Field field : fields) {
    block.push_back(0);  // a literal that is not indexed, with a new name
    AppendInteger(block, field.name.size(), 7);
    block.append(field.name);
    AppendInteger(block, field.value.size(), 7);
    block.append(field.value);
  }
  return block;
}

Headers Http2Peer::Get(std::string_view path) { return http::Request("GET", path); }
Headers Http2Peer::Post(std::string_view path) { return http::Request("POST", path); }

std::string Http2Peer::Request(uint32_t stream, const Headers& fields,
                               std::optional<std::string_view> body) {
  const uint8_t end = body.has_value() ? 0 : kEndStream;
  std::string frames = Make(kHeaders, kEndHeaders | end, stream, Block(fields));
  if (body.has_value()) frames += Make(kData, kEndStream, stream, *body);
  return frames;
}

bool Http2Peer::Need(size_t bytes) {
  while (buffer_.size() < bytes) {
    const std::string more = raw_.ReadSome();
    if (more.empty()) return false;
    buffer_ += more;
  }
  return true;
}

Http2Peer::Frame Http2Peer::Read() {
  for (;;) {
    if (!Need(9)) return {};
    const size_t size = ReadNumber(std::string(1, 0) + buffer_.substr(0, 3));
    if (!Need(9 + size)) return {};
    Frame frame = {.type = static_cast<uint8_t>(buffer_[3]),
                   .flags = static_cast<uint8_t>(buffer_[4]),
                   .stream = ReadNumber(std::string_view(buffer_).substr(5)),
                   .payload = buffer_.substr(9, size)};
    buffer_.erase(0, 9 + size);
    if ((frame.type == kSettings || frame.type == kPing) && (frame.flags & kAck) == 0) {
      Send(Make(frame.type, kAck, 0, frame.type == kPing ? frame.payload : ""));
      if (frame.type == kSettings) continue;
    }
    return frame;
  }
}

void Http2Peer::Take(const Frame& frame, Answer& answer) {
  ++answer.frames;
  if ((frame.type == kHeaders || frame.type == kData) && (frame.flags & kEndStream) != 0) {
    answer.ended = true;
  }
  switch (frame.type) {
    case kHeaders: {
      Headers& fields = answer.status >= 200 ? answer.trailers : answer.headers;
      const auto* at = reinterpret_cast<const uint8_t*>(frame.payload.data());
      size_t left = frame.payload.size();
      for (;;) {
        nghttp2_nv field;
        int flags = 0;
        const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, at, left, 1);
        if (used < 0) std::abort();
        at += used;
        left -= static_cast<size_t>(used);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
          fields.Add({reinterpret_cast<char*>(field.name), field.namelen},
                     {reinterpret_cast<char*>(field.value), field.valuelen});
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      }
      nghttp2_hd_inflate_end_headers(inflater_);
      if (const auto status = fields.Find(":status")) {
        answer.status = std::atoi(std::string(*status).c_str());
        fields.Remove(":status");
      }
      break;
    }
    case kData:
      answer.body += frame.payload;
      if (!frame.payload.empty()) {
        const std::string more = Number(static_cast<uint32_t>(frame.payload.size()));
        Send(Make(kWindowUpdate, 0, 0, more) + Make(kWindowUpdate, 0, frame.stream, more));
      }
      break;
    case kReset:
      answer.reset = frame.number();
      break;
    default:
      break;
  }
}

Http2Peer::Answer Http2Peer::ReadAnswer(uint32_t stream) {
  for (;;) {
    Answer& answer = answers_[stream];
    if (answer.ended || answer.reset.has_value()) return std::exchange(answer, {});
    const Frame frame = Read();
    if (frame.ended()) {
      answer.cut = !answer.goaway.has_value();
      return std::exchange(answer, {});
    }
    if (frame.type == kGoAway) {
      answer.goaway = ReadNumber(std::string_view(frame.payload).substr(4));
    } else if (frame.stream != 0) {
      Take(frame, answers_[frame.stream]);
    }
  }
}

std::optional<uint32_t> Http2Peer::ReadGoAway() {
  std::optional<uint32_t> error;
  for (;;) {
    const Frame frame = Read();
    if (frame.ended()) return error;
    if (frame.type == kGoAway) error = ReadNumber(std::string_view(frame.payload).substr(4));
  }
}

}  // namespace slipway::http
