#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP2_CONNECTION_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP2_CONNECTION_H_

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/system/error_code.hpp>

#include "common/http/io/output_queue.h"
#include "common/http/server/connection.h"
#include "common/http/server/held_writes.h"
#include "common/http/server/http2_session.h"
#include "common/http/server/progress_watch.h"
#include "common/http/server/server.h"
#include "common/http/server/server_loop.h"
#include "common/sync/mutex.h"

namespace slipway::http {

class Http2Exchange;

/// One HTTP/2 connection: its streams are exchanges, many at a time.
///
/// Threads as in Http1Connection: the I/O thread reads, closes, and runs every callback of the
/// user's (Pump); any thread may answer, and then writes to the socket itself, unless the I/O
/// thread is at it, which sends all that its round of callbacks brought with one write. All state
/// is under one mutex, which is never held while a callback runs or is destroyed.
class Http2Connection final : public Connection,
                              public HeldWrites::Sender,
                              private Http2Session::Owner,
                              public std::enable_shared_from_this<Http2Connection> {
 public:
  struct Stream;

  explicit Http2Connection(NewConnection opened);
  ~Http2Connection() override;

  // As the loop's Connection; on its thread.
  void Start() override;
  void CheckDeadlines(int64_t now) override;
  void AnnounceEnd() override;
  void CloseIfIdle() override;
  int Abort() override;

  Handler& handler() const { return core_.handler; }

  // As HeldWrites' Sender; any thread.
  void SendHeld() override;

  // On behalf of the exchange `exchange`, from any thread; see Exchange. Void once it is over.
  void LimitBody(const Http2Exchange& exchange, uint64_t bytes);
  void LimitTime(const Http2Exchange& exchange, absl::Duration limit);
  void LimitPause(const Http2Exchange& exchange, absl::Duration limit);
  void Read(const Http2Exchange& exchange, bool whole, std::optional<uint64_t> limit,
            Exchange::BodyCallback done);
  bool Respond(const Http2Exchange& exchange, Response response, Exchange::DoneCallback later);
  void StartResponse(const Http2Exchange& exchange, int status, const Headers& headers);
  void Write(const Http2Exchange& exchange, std::string piece, Exchange::DoneCallback done);
  void Finish(const Http2Exchange& exchange, const Headers& trailers);
  void OnCancel(const Http2Exchange& exchange, absl::AnyInvocable<void()> cancelled);
  /// The exchange's last owner let go.
  void Drop(Http2Exchange& exchange);

 private:
  // kOpen: streams come and go. kLastWords: sending what is left before the end. kLinger: all is
  // sent, what the peer still sends is thrown away for a while (a close would reset the connection
  // and take the last answers along).
  enum class Phase { kOpen, kLastWords, kLinger, kClosed };

  // How far the answer of a stream is, as its handler has given it.
  enum class Progress { kNone, kStreaming, kComplete };

  using Callbacks = std::vector<absl::AnyInvocable<void()>>;

  // What the session tells.
  Http2Session::Stream* OnRequest(int32_t id, RequestHead head) override REQUIRES(mutex_);
  Http2Session::Stream* OnBadRequest(int32_t id, const ParseError& why) override REQUIRES(mutex_);
  void OnMalformed() override { core_.CountRefusal(Refusal::kMalformed); }
  void OnBody(Http2Session::Stream& stream, std::string_view piece) override REQUIRES(mutex_);
  void OnBodyEnd(Http2Session::Stream& stream) override REQUIRES(mutex_);
  void OnAnswered(Http2Session::Stream& stream) override REQUIRES(mutex_);
  void OnClose(Http2Session::Stream& stream) override REQUIRES(mutex_);

  // I/O thread.
  void OnReadable(const boost::system::error_code& error);
  void OnWritable(const boost::system::error_code& error);
  void Pump();
  void Receive(std::string_view bytes) REQUIRES(mutex_);
  void Advance() REQUIRES(mutex_);
  void Check(int64_t now) REQUIRES(mutex_);
  void CheckStream(Stream& stream, int64_t now) REQUIRES(mutex_);
  void CheckPeer(int64_t now) REQUIRES(mutex_);
  void ArmRead() REQUIRES(mutex_);
  void Close() REQUIRES(mutex_);

  // Any thread.
  void Wake() REQUIRES(mutex_);
  Stream& BeginStream(int32_t id) REQUIRES(mutex_);

  /// Gives the waiting reader what has come, if that is enough for it.
  void ServeReader(Stream& stream) REQUIRES(mutex_);
  void Deliver(Stream& stream, std::string bytes) REQUIRES(mutex_);
  void WaitForBody(Stream& stream) REQUIRES(mutex_);
  /// `bytes` of a body are held no more: bodies that waited for the memory go on.
  void Release(uint64_t bytes) REQUIRES(mutex_);
  void RefuseBody(Stream& stream) REQUIRES(mutex_);

  /// Answers `why` where no answer has begun, otherwise cuts it; callbacks get `status`.
  void Refuse(Stream& stream, const ParseError& why, const absl::Status& status) REQUIRES(mutex_);
  /// Leaves the peer with a broken answer.
  void CutStream(Stream& stream) REQUIRES(mutex_);
  /// Ends the exchange on a stream: its callbacks become due.
  void EndExchange(Stream& stream, const absl::Status& status) REQUIRES(mutex_);
  void Answer(Stream& stream, Response response) REQUIRES(mutex_);
  void SendHead(Stream& stream, int status, const Headers& headers,
                std::optional<uint64_t> content_length, bool ends) REQUIRES(mutex_);
  Response Render(const Stream& stream, int status, std::string_view code,
                  std::string_view message) const REQUIRES(mutex_);

  /// Sends what there is to say, unless the I/O thread is about to, or the caller will.
  void Flush() REQUIRES(mutex_);
  void Send() REQUIRES(mutex_);
  /// Ends all exchanges and, once `why` is said, the connection.
  void End(std::string_view why, bool calm_down) REQUIRES(mutex_);
  void HangUp() REQUIRES(mutex_);
  void EndExchanges(const absl::Status& status) REQUIRES(mutex_);
  /// Leaves the peer without the rest of what was begun.
  void Cut() REQUIRES(mutex_);

  const std::shared_ptr<ServerLoop> loop_;
  ServerCore& core_;
  const std::string peer_;
  const bool from_proxy_;

  mutable Mutex mutex_;
  Transport transport_ GUARDED_BY(mutex_);
  InputBuffer first_ GUARDED_BY(mutex_);  // what came before this connection was made
  OutputQueue output_ GUARDED_BY(mutex_);
  Http2Session session_ GUARDED_BY(mutex_);
  Phase phase_ GUARDED_BY(mutex_) = Phase::kOpen;

  bool reading_ GUARDED_BY(mutex_) = false;     // waits for more to come
  bool writing_ GUARDED_BY(mutex_) = false;     // waits for the socket to take more
  bool peer_ended_ GUARDED_BY(mutex_) = false;  // it will send no more
  bool lost_ GUARDED_BY(mutex_) = false;        // nothing can be sent or read any more
  bool reset_ GUARDED_BY(mutex_) = false;       // and the peer is to see that
  ProgressWatch write_watch_ GUARDED_BY(mutex_);

  std::list<Stream> streams_ GUARDED_BY(mutex_);  // in the order in which they began
  int exchanges_ GUARDED_BY(mutex_) = 0;          // that handlers hold, over or not
  uint64_t held_ GUARDED_BY(mutex_) = 0;          // bytes of bodies that were not handed over
  bool bodies_wait_ GUARDED_BY(mutex_) = false;   // for others to be handed over
  bool served_ GUARDED_BY(mutex_) = false;        // at least one request
  bool stalled_ GUARDED_BY(mutex_) = false;       // a stream, since there was none
  int64_t last_received_ GUARDED_BY(mutex_);
  bool pinged_ GUARDED_BY(mutex_) = false;                 // since then
  int64_t idle_deadline_ GUARDED_BY(mutex_);               // while there is no stream
  std::optional<uint64_t> unfinished_ GUARDED_BY(mutex_);  // frame
  int64_t frame_deadline_ GUARDED_BY(mutex_) = 0;          // to its end
  int64_t linger_deadline_ GUARDED_BY(mutex_) = 0;
  size_t linger_left_ GUARDED_BY(mutex_) = 0;

  // Callbacks that are due, and whether someone will run them.
  Callbacks due_ GUARDED_BY(mutex_);
  bool pumping_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  Callbacks running_;  // the I/O thread's own, kept for its memory
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP2_CONNECTION_H_
