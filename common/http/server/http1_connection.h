#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP1_CONNECTION_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP1_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/system/error_code.hpp>

#include "common/http/io/output_queue.h"
#include "common/http/server/connection.h"
#include "common/http/server/input_buffer.h"
#include "common/http/server/progress_watch.h"
#include "common/http/server/request_body.h"
#include "common/http/server/request_parser.h"
#include "common/http/server/server.h"
#include "common/http/server/server_loop.h"
#include "common/sync/mutex.h"

namespace slipway::http {

class Http1Exchange;

/// One HTTP/1.1 connection: reads a head, has it handled, answers, reads the next.
///
/// Threads: the I/O thread reads, parses, closes, and runs every callback of the user's (Pump).
/// Any thread may answer: it writes to the socket itself, as passing an answer to the I/O thread
/// would cost a wake-up each. All state is under one mutex, which is never held while a callback
/// runs or is destroyed: a callback may own the exchange, whose end takes the mutex.
class Http1Connection final : public Connection,
                              public std::enable_shared_from_this<Http1Connection> {
 public:
  explicit Http1Connection(NewConnection opened);
  ~Http1Connection() override;

  // As the loop's Connection; on its thread.
  void Start() override;
  void CheckDeadlines(int64_t now) override;
  void CloseIfIdle() override;
  int Abort() override;

  Handler& handler() const { return core_.handler; }

  // On behalf of the exchange `exchange`, from any thread; see Exchange. Void once it is over.
  void LimitBody(const Http1Exchange& exchange, uint64_t bytes);
  void LimitTime(const Http1Exchange& exchange, absl::Duration limit);
  void LimitPause(const Http1Exchange& exchange, absl::Duration limit);
  void Read(const Http1Exchange& exchange, bool whole, std::optional<uint64_t> limit,
            Exchange::BodyCallback done);
  bool Respond(const Http1Exchange& exchange, Response response, Exchange::DoneCallback later);
  void StartResponse(const Http1Exchange& exchange, int status, const Headers& headers);
  void Write(const Http1Exchange& exchange, std::string piece, Exchange::DoneCallback done);
  void Finish(const Http1Exchange& exchange, const Headers& trailers);
  void OnCancel(const Http1Exchange& exchange, absl::AnyInvocable<void()> cancelled);
  /// The exchange's last owner let go.
  void Drop(const Http1Exchange& exchange);

 private:
  // Where the connection stands. kHead: between requests or in a head. kExchange: from a head to
  // the end of its answer. kLastWords: sending the answer after which it closes. kLinger: the
  // answer is sent, what the peer still sends is thrown away for a while (a close would reset the
  // connection and take the answer along). kClosing: the I/O thread is to close it.
  enum class Phase { kHead, kExchange, kLastWords, kLinger, kClosing, kClosed };

  // How far the answer of the exchange is.
  enum class Progress { kNone, kStreaming, kComplete };

  // Everything of an exchange that ends with it.
  struct ExchangeState {
    bool active = false;
    Http1Exchange* exchange = nullptr;  // null once its owners let go
    bool keep_alive = false;            // as the request has it

    RequestBody body;
    bool expects_continue = false;
    bool body_wanted = false;       // someone has begun to read
    Exchange::BodyCallback reader;  // a read that waits
    bool reader_wants_whole = false;
    int64_t pause = 0;      // how long it may wait for the next 4 KB
    std::string collected;  // for such a reader

    Progress answer = Progress::kNone;
    bool bodiless = false;                // HEAD, 204, 304
    bool chunked = false;                 // with kStreaming
    std::optional<uint64_t> stream_left;  // with a Content-Length

    int64_t deadline = 0;
    bool deadline_is_fixed = false;  // set by LimitTime
    absl::AnyInvocable<void()> cancelled;
  };

  using Callbacks = std::vector<absl::AnyInvocable<void()>>;

  // I/O thread.
  void OnReadable(const boost::system::error_code& error);
  void OnWritable(const boost::system::error_code& error);
  void Pump();
  void Advance() REQUIRES(mutex_);
  void TakeHead() REQUIRES(mutex_);
  void BeginExchange(ParsedHead parsed) REQUIRES(mutex_);
  void ServeReader() REQUIRES(mutex_);
  void RefuseBody(RequestBody::Result why) REQUIRES(mutex_);
  void Check(int64_t now) REQUIRES(mutex_);
  /// How many bytes the input may hold now.
  size_t InputRoom() const REQUIRES(mutex_);
  void ArmRead() REQUIRES(mutex_);
  void Close() REQUIRES(mutex_);

  // Any thread.
  bool IsCurrent(const Http1Exchange& exchange) const REQUIRES(mutex_) {
    return state_.exchange == &exchange;
  }
  void Wake() REQUIRES(mutex_);

  /// Answers `why` where no answer has begun, and closes after it; callbacks get `status`.
  /// `linger`: the peer may still be sending.
  void Refuse(const ParseError& why, const absl::Status& status, bool linger) REQUIRES(mutex_);
  /// Ends the exchange without an answer of the handler's: its callbacks become due.
  void EndExchange(const absl::Status& status) REQUIRES(mutex_);
  /// Leaves the peer without the rest of what was begun.
  void Cut() REQUIRES(mutex_);
  /// No more is said. The I/O thread closes, at once where the input is used up.
  void HangUp(bool input_is_used_up) REQUIRES(mutex_);

  void Answer(Response response, bool may_keep_alive) REQUIRES(mutex_);
  void QueueChunk(std::string piece) REQUIRES(mutex_);
  void QueueEnd(const Headers& trailers) REQUIRES(mutex_);
  void QueueHead(int status, const Headers& headers, bool chunked,
                 std::optional<uint64_t> content_length) REQUIRES(mutex_);
  /// Sends what is queued, as far as the socket takes it. Where that was the end of an answer,
  /// what is left of its exchange goes into `ended`, to be destroyed without the mutex.
  void Flush(ExchangeState& ended) REQUIRES(mutex_);
  /// True when all is sent. Otherwise OnWritable goes on, or the connection is lost.
  bool Send() REQUIRES(mutex_);
  void ArmWrite() REQUIRES(mutex_);
  void AfterAnswer(ExchangeState& ended) REQUIRES(mutex_);
  bool MayKeepAlive(const Headers& headers) const REQUIRES(mutex_);
  Response Render(int status, std::string_view code, std::string_view message) const
      REQUIRES(mutex_);

  const std::shared_ptr<ServerLoop> loop_;
  ServerCore& core_;
  const std::string peer_;
  const bool from_proxy_;

  mutable Mutex mutex_;
  Transport transport_ GUARDED_BY(mutex_);
  Phase phase_ GUARDED_BY(mutex_) = Phase::kHead;

  InputBuffer input_ GUARDED_BY(mutex_);
  bool reading_ GUARDED_BY(mutex_) = false;     // waits for more to come
  bool peer_ended_ GUARDED_BY(mutex_) = false;  // it will send no more
  bool lost_ GUARDED_BY(mutex_) = false;        // nothing can be sent or read any more
  bool reset_ GUARDED_BY(mutex_) = false;       // and the peer is to see that
  uint64_t read_bytes_ GUARDED_BY(mutex_) = 0;
  ProgressWatch read_watch_ GUARDED_BY(mutex_);
  RequestParser parser_ GUARDED_BY(mutex_);
  uint64_t leftover_ GUARDED_BY(mutex_) = 0;  // of a body that nobody read
  bool served_ GUARDED_BY(mutex_) = false;    // at least one request
  bool head_begun_ GUARDED_BY(mutex_) = false;
  int64_t phase_deadline_ GUARDED_BY(mutex_) = 0;  // of kHead and kLinger
  bool linger_ GUARDED_BY(mutex_) = false;         // after kLastWords
  size_t linger_left_ GUARDED_BY(mutex_) = 0;

  ExchangeState state_ GUARDED_BY(mutex_);
  bool keep_alive_ GUARDED_BY(mutex_) = false;  // as the answer has it

  OutputQueue output_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;  // waits for the socket to take more
  ProgressWatch write_watch_ GUARDED_BY(mutex_);

  // Callbacks that are due, and whether someone will run them.
  Callbacks due_ GUARDED_BY(mutex_);
  bool pumping_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  Callbacks running_;  // the I/O thread's own, kept for its memory
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP1_CONNECTION_H_
