#ifndef SLIPWAY_COMMON_HTTP_CHANNEL_CHANNEL_H_
#define SLIPWAY_COMMON_HTTP_CHANNEL_CHANNEL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "common/http/channel/answer.h"
#include "common/http/io/client_tls.h"
#include "common/http/message.h"
#include "common/status/status.h"
#include "common/time/clock.h"

namespace slipway::http {
class IoThreads;
}

namespace slipway::http::grpc {

class Lane;

struct ChannelOptions {
  /// A Unix socket; otherwise `host` (a name or an address) and `port`, with mutual TLS.
  std::string unix_path = {};
  std::string host = {};
  int port = 0;
  ClientTls::Files tls = {};

  uint64_t max_message_bytes = 64 << 20;  ///< sent or taken
  /// A connection takes so many, then another one follows: HTTP/2's numbers for streams end.
  uint64_t max_calls_per_connection = 1 << 29;
  /// From the name's look-up to the server's first word.
  absl::Duration connect_timeout = absl::Seconds(5);
  /// How long the channel waits after an attempt that failed before it makes one by itself; doubled
  /// each time. A call makes one at once.
  absl::Duration min_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(2);
  /// A server that has calls to answer and is silent for so long is asked whether it is there, and
  /// given up when it does not say so within `keepalive_timeout`.
  absl::Duration keepalive_interval = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(10);

  const Clock* clock = &Clock::Real();  ///< Outlives the channel.
};

/// A call that is on its way. Any thread.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
  /// Ends it soon with kCancelled, unless it has ended.
  virtual void Cancel() = 0;
};

/// Calls to one gRPC server, each with one message there and one back, over HTTP/2. On each I/O
/// thread it holds one connection: a call that is made on such a thread goes out and comes back
/// there, and another thread's call is handed to one of them.
///
/// It connects at once and again whenever it has to, and repeats no call. A call that finds no
/// connection waits for the attempt under way, or makes one. Where the server takes no more calls
/// at once, they wait for those before them. Any thread.
class Channel {
 public:
  struct Request {
    std::string_view method;  ///< "/package.Service/Method"
    Headers metadata = {};    ///< with names in lower case
    absl::Time deadline = absl::InfiniteFuture();
    absl::Cord message = {};  ///< sent from where its bytes are
  };
  using Done = absl::AnyInvocable<void(Outcome)>;

  /// `threads` and their loops outlive the channel. Errors: kInvalidArgument (the files of TLS).
  static absl::StatusOr<std::unique_ptr<Channel>> Open(ChannelOptions options, IoThreads& threads);

  /// Calls under way end with kCancelled.
  ~Channel();

  /// `done` runs once, on an I/O thread, never inside this, and must not block. Its outcome is what
  /// the server says, or: kUnavailable (no connection, or one that broke), kDeadlineExceeded,
  /// kCancelled, kResourceExhausted (a message over the limit), kInternal (an answer that is none).
  std::shared_ptr<ClientCall> Start(Request request, Done done);

  /// False while the last attempt to connect has failed.
  bool reachable() const { return shared_->reachable.load(std::memory_order_relaxed); }

 private:
  friend class Lane;
  /// What all threads have of it.
  struct Shared {
    explicit Shared(ChannelOptions of) : options(std::move(of)) {}
    const ChannelOptions options;
    std::atomic<bool> reachable = true;
  };

  explicit Channel(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  const std::shared_ptr<Shared> shared_;
  std::vector<std::shared_ptr<Lane>> lanes_;  // one a thread
  std::atomic<size_t> next_lane_ = 0;         // for calls of other threads
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_CHANNEL_CHANNEL_H_
