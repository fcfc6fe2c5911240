#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_HTTP2_PEER_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_HTTP2_PEER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/message.h"
#include "tests/integration/http/raw_peer.h"

struct nghttp2_hd_inflater;

namespace slipway::http {

/// The client's end of an HTTP/2 connection, frame by frame, so that a test can send what no
/// client would. Keeps no protocol state but the table of fields that answers refer to. One thread.
class Http2Peer {
 public:
  enum Type : uint8_t {
    kData = 0,
    kHeaders = 1,
    kPriority = 2,
    kReset = 3,
    kSettings = 4,
    kPing = 6,
    kGoAway = 7,
    kWindowUpdate = 8,
    kContinuation = 9
  };
  static constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
  static constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

  struct Frame {
    uint8_t type = 0xff;  ///< 0xff: the connection ended.
    uint8_t flags = 0;
    uint32_t stream = 0;
    std::string payload;

    bool ended() const { return type == 0xff; }
    /// Of RST_STREAM; for GOAWAY see Http2Peer::GoAway.
    uint32_t number() const;
  };

  /// Connects, and sends the preface with empty settings.
  explicit Http2Peer(const std::string& address);
  ~Http2Peer();

  RawPeer& raw() { return raw_; }
  bool Send(std::string_view bytes) { return raw_.Send(bytes); }

  static std::string Make(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
  /// Fields as they are, each spelled out.
  static std::string Block(const Headers& fields);
  static std::string Number(uint32_t number);
  static Headers Get(std::string_view path);
  static Headers Post(std::string_view path);

  /// A request's HEADERS; with `body` what follows ends it.
  static std::string Request(uint32_t stream, const Headers& fields,
                             std::optional<std::string_view> body = std::nullopt);

  /// The next frame. SETTINGS and PING of the server's are acknowledged on the way, header blocks
  /// decoded into `fields` of it.
  Frame Read();

  struct Answer {
    int status = 0;
    Headers headers;
    std::string body;
    Headers trailers;
    bool ended = false;              ///< By END_STREAM.
    int frames = 0;                  ///< How many frames bore it.
    std::optional<uint32_t> reset;   ///< Instead of the end, or after it.
    std::optional<uint32_t> goaway;  ///< The connection ends, with this error.
    bool cut = false;                ///< The connection ended without a word.
  };
  /// Everything on one stream up to its end, its reset or the connection's end; what comes on other
  /// streams is kept for their turn. Windows are opened as bodies come.
  Answer ReadAnswer(uint32_t stream);
  Answer Ask(uint32_t stream, const Headers& fields,
             std::optional<std::string_view> body = std::nullopt) {
    Send(Request(stream, fields, body));
    return ReadAnswer(stream);
  }

  /// Reads on to GOAWAY and the end of the connection: its error, or nullopt where it was cut.
  std::optional<uint32_t> ReadGoAway();

 private:
  bool Need(size_t bytes);
  void Take(const Frame& frame, Answer& answer);

  RawPeer raw_;
  std::string buffer_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::map<uint32_t, Answer> answers_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_HTTP2_PEER_H_
