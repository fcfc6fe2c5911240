#ifndef SLIPWAY_COMMON_HTTP_SERVER_SERVER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/http/message.h"
#include "common/net/network.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "common/tracing/tracer.h"

// The life of a request. An I/O thread reads a head, within its limits of size and time, and
// refuses what two parsers might read differently. It makes an Exchange and hands it to the
// Handler. The handler asks for the body (all of it, or piece by piece) and answers (in one go,
// or as a stream), from any thread, at once or later. Then the connection reads its next head.

namespace slipway::http {

class IoThreads;

/// What a request says before its body.
struct RequestHead {
  std::string method;  ///< As sent; methods are case-sensitive.
  std::string target;  ///< Path and query as sent, percent-encodings untouched; starts with '/'.
  Headers headers;     ///< Checked: no control characters, exactly one Host (in HTTP/1.1).

  /// The caller's: "127.0.0.1", "::1", or "unix" for a Unix socket. Behind a trusted proxy it is
  /// what that says (ServerOptions::trusted_proxies).
  std::string peer_address;
  int http_version = 11;  ///< 10, 11 or 20. HTTP/2's :authority stands among headers as Host.

  /// Made by the server for each request, 32 hex digits, never repeated. The caller's own
  /// x-request-id stays among the headers and is good for logs only.
  std::string request_id;

  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
  /// What follows the first '?', or "".
  std::string_view query() const {
    const size_t mark = target.find('?');
    return mark == std::string::npos ? std::string_view()
                                     : std::string_view(target).substr(mark + 1);
  }
};

/// What those who serve a request find out about it, for whoever observes it (an access log, a
/// trace). They write it before they answer.
struct Observation {
  std::string tenant;
  std::string key_id;
  std::string model;   ///< As the caller names it.
  tracing::Span span;  ///< The request's; steps of the work are its children.
};

/// One request and its answer. Any thread may call any method. Hold it by its shared_ptr until
/// the answer is given: an exchange that is dropped without one answers 500.
///
/// Callbacks run on an I/O thread, each exactly once, never inside the call that takes them, and
/// must not block. Once the exchange is over (answered, timed out or abandoned by the peer)
/// further calls do nothing, but for their callbacks, which get kCancelled.
class Exchange {
 public:
  using BodyCallback = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  using DoneCallback = absl::AnyInvocable<void(absl::Status)>;

  virtual ~Exchange() = default;

  /// Lives and stays the same as long as the exchange.
  virtual const RequestHead& head() const = 0;

  /// True once the exchange is over: what is done for it now is in vain. Costs nothing to ask.
  virtual bool over() const = 0;

  /// Null where nobody observes the request. Lives as long as the exchange.
  virtual Observation* observation() { return nullptr; }

  /// The most bytes this request's body may have; ServerOptions::max_body_bytes until set. A
  /// route that streams uploads raises it before its first read.
  virtual void LimitBody(uint64_t bytes) = 0;

  /// From now on the whole exchange, progress or not, ends within `limit`. Without it
  /// ServerOptions::total_timeout holds for all but streamed bodies.
  virtual void LimitTime(absl::Duration limit) = 0;

  /// How long the peer may be silent while a read waits; ServerOptions::stall_timeout until set. A
  /// stream of messages lives with pauses that a body does not: absl::InfiniteDuration() for any.
  virtual void LimitPause(absl::Duration limit) = 0;

  /// Reads the whole body, at most `limit` bytes ("" when the request has none).
  ///
  /// When a body cannot be had (here and in ReadSome) the server has answered already, and the
  /// callback has nothing to send: kResourceExhausted (TooLarge: 413), kInvalidArgument (bad
  /// chunk: 400), kDeadlineExceeded (no progress or out of time: 408), kCancelled (peer gone).
  virtual void ReadBody(uint64_t limit, BodyCallback done) = 0;

  /// Reads the next piece of the body as it comes, at most 64 KB; "" is its end. Beyond one such
  /// piece (HTTP/2: the stream's window) nothing is taken from the peer before it is asked for.
  /// One read at a time. Goes on while an answer streams, until Finish().
  virtual void ReadSome(BodyCallback done) = 0;

  /// Answers: head, body and trailers leave in one write. Content-Length, Date, Connection and
  /// x-request-id (where absent) are added; framing headers of the caller's are dropped. In HTTP/2
  /// an answer with neither body nor trailers is one header block that ends the stream.
  void Respond(Response response) { Respond(std::move(response), nullptr); }

  /// As above, and tells when the kernel has taken the answer whole: true when it has already, and
  /// `later` is dropped; otherwise `later` gets OK then, or kCancelled when the peer is gone.
  virtual bool Respond(Response response, DoneCallback later) = 0;

  /// Answers as a stream: head now, then Write() and Finish(). With a Content-Length among
  /// `headers` exactly that many bytes must follow, otherwise the body is sent in chunks.
  virtual void StartResponse(int status, Headers headers) = 0;

  /// Sends a piece. `done` gets OK when the kernel has taken it, which is the time to make the
  /// next one: pieces written without waiting pile up in memory. kCancelled when the exchange is
  /// over. May be null.
  virtual void Write(std::string piece, DoneCallback done) = 0;

  /// Ends a streamed answer. A stream dropped without it is cut, so that the peer sees it broken.
  void Finish() { Finish(Headers()); }
  /// Trailers are sent in HTTP/2, and in HTTP/1.1 where the answer is chunked.
  virtual void Finish(Headers trailers) = 0;

  /// Called when the peer goes away, or a limit ends the exchange, before its answer is sent: time
  /// to stop the work. At most once, and not at all when the answer is sent first. One
  /// callback an exchange; a second replaces the first.
  virtual void OnCancel(absl::AnyInvocable<void()> cancelled) = 0;
};

/// Blocking forms for handlers that run on threads of their own. Abort on an I/O thread, where
/// they would wait for themselves.
absl::StatusOr<std::string> ReadBodyBlocking(Exchange& exchange, uint64_t limit);
absl::StatusOr<std::string> ReadSomeBlocking(Exchange& exchange);
absl::Status WriteBlocking(Exchange& exchange, std::string piece);

/// What a server does with requests. Outlives the server.
class Handler {
 public:
  virtual ~Handler() = default;

  /// Called on an I/O thread once a head is in; must not block. Any number of threads at once.
  virtual void Handle(std::shared_ptr<Exchange> exchange) = 0;
};

/// Why the server itself turned something away.
enum class Refusal {
  kMalformed,       ///< 400: not HTTP, or in a form that two parsers may read differently
  kHeaderTooLarge,  ///< 431
  kBodyTooLarge,    ///< 413
  kHeaderTimeout,   ///< 408, or closed without a word when no byte had come
  kBodyTimeout,     ///< 408: no progress
  kTotalTimeout,    ///< 408 while the request comes in, 504 after
  kWriteTimeout,    ///< closed: the peer does not read its answer
  kIdleTimeout,     ///< closed between requests; this is no fault
  kPingTimeout,     ///< HTTP/2, closed: the peer does not answer a PING
  kTooManyConnections,
  kTooManyFromAddress,
  kTlsHandshake,   ///< closed: no TLS that is spoken here
  kTooManyResets,  ///< HTTP/2, closed: streams that end before their answer
  kFlood,          ///< HTTP/2, closed: frames that carry nothing
  kOverMemory,     ///< HTTP/2, the stream refused: the connection holds what it may
  kCount,
};

/// A stable name for metrics and logs: "malformed", "header_too_large", ...
std::string_view RefusalName(Refusal refusal);

/// Running totals of one server.
struct ServerStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_open = 0;
  uint64_t requests_started = 0;
  uint64_t requests_open = 0;
  uint64_t requests_abandoned = 0;  ///< the peer left before its answer
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t refused[static_cast<int>(Refusal::kCount)] = {};
};

/// An answer that the server gives by itself.
struct ServerError {
  int status = 500;
  std::string_view code;     ///< "malformed", "body_too_large", ...
  std::string_view message;  ///< For the caller; plain ASCII.
  std::string_view request_id = {};
  const RequestHead* head = nullptr;  ///< Null where no head could be read.
};

/// `{"error":{"code":...,"message":...,"request_id":...}}` as application/json.
Response RenderServerError(const ServerError& error);

struct ServerOptions {
  /// "127.0.0.1:8080", "[::]:8080", port 0 for any free one, or "unix:/path" (the folder's mode
  /// says who may connect; a stale socket is replaced, a live one refused).
  std::string address = "127.0.0.1:0";
  int threads = 1;  ///< I/O threads. A connection stays with one.
  /// Shared with others and outliving the server, instead of `threads` of its own.
  IoThreads* io_threads = nullptr;

  /// PEM files of the certificate chain and its key: the listener then speaks TLS (1.2 and later),
  /// with HTTP/2 and HTTP/1.1 by ALPN. They are read again for new connections once they have
  /// changed, and `on_certificate` hears how that went; a pair that cannot be used leaves the one
  /// before in its place. Called on an I/O thread.
  std::string tls_certificate_file = {};
  std::string tls_key_file = {};
  /// PEM file of authorities. Where it is set, a client must show a certificate that one of them
  /// vouches for. Read again as the others.
  std::string tls_client_ca_file = {};
  std::function<void(const absl::Status&)> on_certificate = nullptr;

  size_t max_header_bytes = 16 << 10;  ///< Request line and fields: 431 above it.
  uint64_t max_body_bytes = 32 << 20;  ///< Where a route sets no other limit.
  int max_connections = 10'000;        ///< 503 and closed above it.
  /// The same, by peer address; not for Unix sockets and trusted proxies, behind which are many.
  int max_connections_per_address = 1'000;

  /// Proxies that are believed when they say who calls: by a header of PROXY protocol version 2
  /// ahead of everything else in a connection (TLS too), and by X-Forwarded-For, of which the last
  /// address counts that is none of theirs. From all others that field is ignored, and such a
  /// header is malformed.
  Networks trusted_proxies = {};

  /// HTTP/2: streams open at once in a connection, what a peer may send on each before it is
  /// taken, and how many bytes of bodies and answers a connection may hold (and beside them one
  /// window a stream) before bodies wait and new streams are refused.
  int max_streams = 128;
  uint32_t stream_window = 1 << 20;
  uint64_t max_connection_bytes = 64 << 20;

  /// To the end of a head: from its first byte, and in a new connection from the beginning.
  absl::Duration header_timeout = absl::Seconds(10);
  /// Longest wait for 4 KB (or the end) of a body, or for the peer to take as much of an answer.
  absl::Duration stall_timeout = absl::Seconds(10);
  /// Between requests. Infinite: connections of HTTP/2 stay, without a first request too.
  absl::Duration idle_timeout = absl::Seconds(75);
  /// From head to answer. Streamed bodies and answers that make progress are not cut by it.
  absl::Duration total_timeout = absl::Seconds(60);
  /// HTTP/2: a peer that has been silent for so long is asked whether it is there, and given up
  /// when it stays silent for `ping_timeout`.
  absl::Duration ping_interval = absl::InfiniteDuration();
  absl::Duration ping_timeout = absl::Seconds(10);

  /// Makes the answers that the server gives by itself. Called on any thread.
  std::function<Response(const ServerError&)> render_error = RenderServerError;

  const Clock* clock = &Clock::Real();  ///< Outlives the server.
};

/// A listener for HTTP/1.1 and HTTP/2 (known by its first bytes), plain or under TLS, with its I/O
/// threads. Any thread may call it.
class Server {
 public:
  /// Binds, listens and starts the threads. kInvalidArgument (address, options), kAlreadyExists
  /// (address in use), kPermissionDenied, each naming the address or the certificate's file.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, Handler& handler);

  /// Stops at once: Drain(0).
  virtual ~Server() = default;

  /// The port that was bound; 0 for a Unix socket.
  virtual int port() const = 0;

  /// "127.0.0.1:41234" or "unix:/path": what a client dials.
  virtual std::string address() const = 0;

  virtual ServerStats stats() const = 0;

  /// Stops accepting, lets requests in flight finish (their answers say Connection: close), then
  /// closes all. Connections without a request are kept for `idle_grace`, so that a request on
  /// its way is still answered. Returns when no connection is left or `deadline` has passed;
  /// then cuts the rest, and says how many requests that broke. Not on an I/O thread.
  virtual int Drain(absl::Duration deadline, absl::Duration idle_grace) = 0;
  int Drain(absl::Duration deadline) { return Drain(deadline, absl::ZeroDuration()); }
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_SERVER_H_
