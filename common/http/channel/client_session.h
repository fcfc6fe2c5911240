#ifndef SLIPWAY_COMMON_HTTP_CHANNEL_CLIENT_SESSION_H_
#define SLIPWAY_COMMON_HTTP_CHANNEL_CLIENT_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "common/http/channel/answer.h"
#include "common/http/io/output_queue.h"
#include "common/http/message.h"

struct nghttp2_session;

namespace slipway::http::grpc {

/// The client's side of one HTTP/2 connection that carries calls with one message each way: calls
/// become bytes, bytes become answers. Knows no sockets, threads or clocks; nghttp2 reads and
/// writes the frames. One thread at a time.
class ClientSession {
 public:
  /// One call on the wire; the owner derives its own from it.
  class Stream {
   public:
    size_t message_bytes() const { return message_.size(); }

   protected:
    Stream(absl::Cord message, uint64_t max_answer_bytes)
        : message_(std::move(message)), answer_(max_answer_bytes) {}
    ~Stream() = default;

   private:
    friend class ClientSession;

    const absl::Cord message_;
    absl::Cord::ChunkIterator chunk_;
    size_t offset_ = 0;    // in the chunk
    uint64_t left_ = 0;    // of the body, that is not in the output
    uint64_t end_at_ = 0;  // where in the output the body ends, once left_ is 0
    Answer answer_;
    bool answered_ = false;  // wholly
    bool cancelled_ = false;
    int32_t id_ = 0;
    std::list<std::shared_ptr<Stream>>::iterator place_;  // among the session's
  };
  using Streams = std::list<std::shared_ptr<Stream>>;

  /// Hears what happens, during Receive() and Send().
  class Owner {
   public:
    /// The peer's settings are known: it is there, and speaks HTTP/2.
    virtual void OnReady() = 0;
    /// The last of the stream, which the session knows no more.
    virtual void OnEnd(Stream& stream, Outcome outcome) = 0;
    /// The peer takes no more streams here; those that it has are still answered.
    virtual void OnGoAway() = 0;

   protected:
    ~Owner() = default;
  };

  struct Request {
    std::string_view method;   ///< "/package.Service/Method"
    const Headers& metadata;   ///< with names in lower case
    std::string_view timeout;  ///< as grpc-timeout has it; empty: none
  };

  /// Both outlive the session.
  ClientSession(bool tls, std::string authority, Owner& owner, OutputQueue& output);
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  /// Whether one more stream may be begun now.
  bool HasRoom() const;
  /// Streams that were begun so far.
  uint64_t begun() const { return begun_; }
  /// Those that were begun and are not over; also cancelled ones, for a little while.
  const Streams& streams() const { return streams_; }

  void Begin(std::shared_ptr<Stream> stream, const Request& request);
  /// Ends a stream early, without a word to the owner.
  void Cancel(Stream& stream);
  /// Might the peer have seen all of the request? What it has not, it cannot have acted on.
  bool MayHaveSeen(const Stream& stream) const;

  /// Begins no more streams; those that it has are still answered.
  void GoAway();
  void Ping();

  /// Takes what came. False when the session cannot go on.
  bool Receive(std::string_view bytes);
  /// Fills the output until it holds `enough` bytes or nothing more can be said. False as above.
  bool Send(uint64_t enough);
  /// Whether Send() has something to say.
  bool wants_send() const;
  /// Nothing is to be read or sent any more.
  bool ended() const;

 private:
  struct Callbacks;  // nghttp2's

  Stream* Find(int32_t id) const;
  void End(Stream& stream, uint32_t error);
  void Pack(Stream& stream, size_t bytes);

  const bool tls_;
  const std::string authority_;
  Owner& owner_;
  OutputQueue& output_;
  nghttp2_session* session_ = nullptr;
  bool ready_ = false;
  bool going_away_ = false;
  Streams streams_;
  uint64_t begun_ = 0;
  uint64_t enough_ = 0;  // of the Send() under way
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_CHANNEL_CLIENT_SESSION_H_
