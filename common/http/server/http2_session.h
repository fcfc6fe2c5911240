#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP2_SESSION_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP2_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/io/output_queue.h"
#include "common/http/server/http2_frame_meter.h"
#include "common/http/server/request_parser.h"
#include "common/http/server/server.h"

struct nghttp2_session;

namespace slipway::http {

/// The server's side of one HTTP/2 connection (RFC 9113): bytes come in and become events, answers
/// become bytes. Knows no sockets, threads or clocks. nghttp2 reads and writes the frames; a meter
/// ahead of it ends the session of a peer that floods. A header over its limit is answered 431.
/// One thread at a time.
class Http2Session {
 public:
  struct Limits {
    size_t header_bytes;     ///< As SETTINGS_MAX_HEADER_LIST_SIZE counts them.
    uint32_t streams;        ///< Open at once.
    uint32_t stream_window;  ///< What a peer may send on a stream before it is taken.
  };

  /// One request and its answer. The owner derives its own from it.
  class Stream {
   public:
    int32_t id() const { return id_; }
    /// The peer sends no more of the body.
    bool body_ended() const { return body_ended_; }
    /// The last byte of the answer is in the output.
    bool answered() const { return answered_; }
    /// Bytes of the answer's body that wait for the peer, and those that went into the output.
    uint64_t pending() const { return pending_; }
    uint64_t packed() const { return packed_; }

   protected:
    explicit Stream(int32_t id) : id_(id) {}
    ~Stream() = default;

   private:
    friend class Http2Session;
    struct Piece {
      std::shared_ptr<const std::string> bytes;
      Exchange::DoneCallback done;
    };

    const int32_t id_;
    bool body_ended_ = false;
    bool answered_ = false;
    bool reset_ = false;     // by this side
    bool complete_ = false;  // no more pieces come
    bool deferred_ = false;  // nghttp2 waits for the next one
    std::vector<Piece> pieces_;
    size_t at_ = 0;      // the first piece that is not in the output
    size_t offset_ = 0;  // and how much of it is
    uint64_t pending_ = 0;
    uint64_t packed_ = 0;
    Headers trailers_;
  };

  /// Hears what happens, during Receive() and Send().
  class Owner {
   public:
    /// A request's head is in. Null refuses it, so that the peer may ask elsewhere.
    virtual Stream* OnRequest(int32_t id, RequestHead head) = 0;
    /// A head that is to be answered with an error. Null as above.
    virtual Stream* OnBadRequest(int32_t id, const ParseError& why) = 0;
    /// The peer broke the protocol, on a stream that was reset for it or in the whole session.
    virtual void OnMalformed() = 0;
    /// A piece of the body. The peer may send as much again once Consume() says so.
    virtual void OnBody(Stream& stream, std::string_view piece) = 0;
    virtual void OnBodyEnd(Stream& stream) = 0;
    /// The answer's end went into the output.
    virtual void OnAnswered(Stream& stream) = 0;
    /// The last of the stream: it is forgotten here.
    virtual void OnClose(Stream& stream) = 0;

   protected:
    ~Owner() = default;
  };

  /// Both outlive the session.
  Http2Session(const Limits& limits, Owner& owner, OutputQueue& output);
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  /// Takes what came. `now` in monotonic nanoseconds. False when the session is to end: with
  /// refusal() where the peer went over a limit or broke the protocol.
  bool Receive(std::string_view bytes, int64_t now);
  std::optional<Refusal> refusal() const { return refusal_; }

  /// Which header or other frame without a body has begun, where its end has not come.
  std::optional<uint64_t> unfinished() const { return meter_.unfinished(); }

  /// Bytes of all answers' bodies that wait for the peer.
  uint64_t pending() const { return pending_; }

  /// Fills the output with frames until it holds `enough` bytes or nothing more can be said.
  /// False as above.
  bool Send(uint64_t enough);
  /// Whether the protocol has come to its end: GOAWAY was sent or received and no stream is left.
  bool ended() const;

  /// Begins an answer: `status` and fields, cleaned, with names in lower case. With `ends` that is
  /// all of it; otherwise pieces follow.
  struct AnswerHead {
    int status;
    const Headers& headers;
    std::string_view request_id;
    std::string_view date;
    std::optional<uint64_t> content_length;
  };
  void StartAnswer(Stream& stream, const AnswerHead& head, bool ends);
  /// `done` is marked in the output behind the piece.
  void AddPiece(Stream& stream, std::string piece, Exchange::DoneCallback done);
  void EndAnswer(Stream& stream, Headers trailers);

  /// Sends 100 (Continue).
  void Continue(Stream& stream);
  /// The peer may send `bytes` more of the stream's body.
  void Consume(Stream& stream, size_t bytes);

  enum class Reset { kCancel, kInternalError };
  void ResetStream(Stream& stream, Reset why);

  /// Pieces that did not go into the output: their callbacks.
  std::vector<Exchange::DoneCallback> TakeCallbacks(Stream& stream);

  /// Asks the peer for a sign of life.
  void Ping();

  /// Asks the peer to open no more streams; those on their way are still served.
  void AnnounceEnd();
  /// Says that no stream is served which has not begun, and why.
  void GoAway(std::string_view why, bool calm_down);

 private:
  struct Callbacks;  // nghttp2's

  void EndWith(Refusal why);
  Stream* Find(int32_t id) const;

  // A request's head that is coming in.
  void BeginHead();
  void TakeField(std::string_view name, std::string_view value);
  void FinishHead(int32_t id, bool ends);

  void EndBody(Stream& stream);
  void Resume(Stream& stream);
  void Pack(Stream& stream, size_t bytes);

  const Limits limits_;
  Owner& owner_;
  OutputQueue& output_;
  nghttp2_session* session_ = nullptr;
  size_t preface_left_;
  Http2FrameMeter meter_;
  std::optional<Refusal> refusal_;
  uint64_t pending_ = 0;
  bool failed_ = false;  // nghttp2 cannot go on
  uint64_t enough_ = 0;  // of the Send() under way
  int64_t now_ = 0;      // of the last Receive()
  int32_t reset_by_peer_ = 0;

  RequestHead head_;
  size_t head_bytes_ = 0;
  bool has_authority_ = false;
  std::optional<ParseError> head_error_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP2_SESSION_H_
