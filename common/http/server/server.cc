#include "common/http/server/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/http/io/io_threads.h"
#include "common/http/io/tls.h"
#include "common/http/server/arrival.h"
#include "common/http/server/listener.h"
#include "common/http/server/request_id.h"
#include "common/http/server/response_writer.h"
#include "common/http/server/server_core.h"
#include "common/http/server/server_loop.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::http {
namespace {

// How often new connections ask whether the certificate has changed.
constexpr absl::Duration kRefreshPeriod = absl::Seconds(1);

absl::Status CheckOptions(const ServerOptions& options) {
  const auto must_be_positive = [](std::string_view field, bool positive) {
    return positive ? absl::OkStatus() : InvalidField(field, "must be > 0");
  };
  RETURN_IF_ERROR(must_be_positive("threads", options.threads > 0));
  RETURN_IF_ERROR(must_be_positive("max_connections", options.max_connections > 0));
  RETURN_IF_ERROR(
      must_be_positive("max_connections_per_address", options.max_connections_per_address > 0));
  RETURN_IF_ERROR(
      must_be_positive("header_timeout", options.header_timeout > absl::ZeroDuration()));
  RETURN_IF_ERROR(must_be_positive("stall_timeout", options.stall_timeout > absl::ZeroDuration()));
  RETURN_IF_ERROR(must_be_positive("idle_timeout", options.idle_timeout > absl::ZeroDuration()));
  RETURN_IF_ERROR(must_be_positive("total_timeout", options.total_timeout > absl::ZeroDuration()));
  RETURN_IF_ERROR(must_be_positive("ping_interval", options.ping_interval > absl::ZeroDuration()));
  RETURN_IF_ERROR(must_be_positive("ping_timeout", options.ping_timeout > absl::ZeroDuration()));
  RETURN_IF_ERROR(must_be_positive("max_streams", options.max_streams > 0));
  if (options.stream_window < 16 << 10 || options.stream_window > 1 << 30) {
    return InvalidField("stream_window", "must be from 16 KB to 1 GB");
  }
  if (options.max_header_bytes < 256 || options.max_header_bytes > (48 << 10)) {
    return InvalidField("max_header_bytes", "must be from 256 to 49152");
  }
  return absl::OkStatus();
}

class RealServer final : public Server {
 public:
  RealServer(std::unique_ptr<IoThreads> own_threads, std::shared_ptr<ServerCore> core,
             std::vector<std::shared_ptr<ServerLoop>> loops, std::unique_ptr<Listener> listener,
             std::unique_ptr<Tls> tls)
      : own_threads_(std::move(own_threads)),
        core_(std::move(core)),
        loops_(std::move(loops)),
        listener_(std::move(listener)),
        tls_(std::move(tls)) {}

  ~RealServer() override {
    Drain(absl::ZeroDuration(), absl::ZeroDuration());
    OnEachLoop([](ServerLoop& loop) {
      loop.Stop();
      return 0;
    });
    own_threads_.reset();
  }

  void Start() {
    loops_[0]->Post([this] {
      listener_->Start([this](int descriptor, int family, std::string peer) {
        Accept(descriptor, family, std::move(peer));
      });
    });
  }

  int port() const override { return listener_->port(); }
  std::string address() const override { return listener_->address(); }

  ServerStats stats() const override {
    ServerStats stats;
    stats.connections_accepted = core_->accepted.load(std::memory_order_relaxed);
    stats.connections_open = static_cast<uint64_t>(core_->connections.open());
    stats.requests_started = core_->requests_started.load(std::memory_order_relaxed);
    stats.requests_open = core_->requests_open.load(std::memory_order_relaxed);
    stats.requests_abandoned = core_->requests_abandoned.load(std::memory_order_relaxed);
    stats.bytes_read = core_->bytes_read.load(std::memory_order_relaxed);
    stats.bytes_written = core_->bytes_written.load(std::memory_order_relaxed);
    for (size_t i = 0; i < core_->refused.size(); ++i) {
      stats.refused[i] = core_->refused[i].load(std::memory_order_relaxed);
    }
    return stats;
  }

  int Drain(absl::Duration deadline, absl::Duration idle_grace) override {
    const Clock& clock = *core_->options.clock;
    const absl::Duration end = clock.Monotonic() + deadline;
    core_->draining = true;
    OnEachLoop([this](ServerLoop& loop) {
      if (&loop == loops_[0].get()) listener_->Close();
      loop.AnnounceEnd();
      return 0;
    });
    if (core_->connections.WaitForNone(clock, std::min(idle_grace, deadline))) return 0;
    core_->close_idle = true;
    OnEachLoop([](ServerLoop& loop) {
      loop.CloseIdle();
      return 0;
    });
    if (core_->connections.WaitForNone(clock, end - clock.Monotonic())) return 0;
    return OnEachLoop([](ServerLoop& loop) { return loop.Abort(); });
  }

 private:
  // Runs `call` on the thread of each loop, waits for all, returns the sum of what they gave.
  template <typename Call>
  int OnEachLoop(Call call) {
    struct Gathering {
      Mutex mutex;
      CondVar done;
      size_t left GUARDED_BY(mutex) = 0;
      int sum GUARDED_BY(mutex) = 0;
    };
    const auto gathering = std::make_shared<Gathering>();
    {
      MutexLock lock(gathering->mutex);
      gathering->left = loops_.size();
    }
    for (const std::shared_ptr<ServerLoop>& loop : loops_) {
      loop->Post([call, gathering, loop] {
        const int result = call(*loop);
        MutexLock lock(gathering->mutex);
        gathering->sum += result;
        if (--gathering->left == 0) gathering->done.Signal();
      });
    }
    MutexLock lock(gathering->mutex);
    while (gathering->left > 0) gathering->done.Wait(gathering->mutex);
    return gathering->sum;
  }

  // On the thread of the first loop.
  void Accept(int descriptor, int family, std::string peer) {
    core_->accepted.fetch_add(1, std::memory_order_relaxed);
    if (const auto refused = core_->connections.Admit(peer, core_->options)) {
      TurnAway(descriptor, *refused);
      return;
    }
    if (family != AF_UNIX) {
      const int on = 1;
      ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      // A peer whose machine died is noticed in the end, even where nothing is being sent.
      ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    const std::shared_ptr<ServerLoop>& loop = loops_[next_loop_++ % loops_.size()];
    StreamSocket socket(loop->context().get_executor());
    boost::system::error_code error;
    socket.assign(boost::asio::generic::stream_protocol(family, 0), descriptor, error);
    if (error) {
      ::close(descriptor);
      core_->connections.Release(peer);
      return;
    }
    SslPtr ssl = tls_ == nullptr ? nullptr : NewTlsConnection(descriptor);
    const bool from_proxy = core_->options.trusted_proxies.Contain(peer);
    auto connection = std::make_shared<Arrival>(NewConnection{
        .loop = loop,
        .transport = Transport(std::move(socket), std::move(ssl)),
        .peer = std::move(peer),
        .from_proxy = from_proxy,
        .input = {},
        .deadline = core_->Now() + absl::ToInt64Nanoseconds(core_->options.header_timeout)});
    const auto start = [loop, connection = std::move(connection)] {
      loop->Add(connection);
      connection->Start();
    };
    if (loop == loops_[0]) {
      start();
    } else {
      loop->Post(start);
    }
  }

  SslPtr NewTlsConnection(int descriptor) {
    if (const int64_t now = core_->Now(); now >= next_refresh_) {
      next_refresh_ = now + Nanos(kRefreshPeriod);
      const absl::StatusOr<bool> refreshed = tls_->Refresh();
      const bool news = !refreshed.ok() || *refreshed;
      if (news && core_->options.on_certificate) core_->options.on_certificate(refreshed.status());
    }
    return tls_->NewConnection(descriptor);
  }

  // One attempt to say why, then the door.
  void TurnAway(int descriptor, Refusal why) {
    core_->CountRefusal(why);
    if (tls_ != nullptr) {  // it would not be understood
      ::close(descriptor);
      return;
    }
    const std::string id = NewRequestId();
    const Response response = core_->options.render_error(
        {.status = 503,
         .code = RefusalName(why),
         .message = why == Refusal::kTooManyConnections
                        ? "the server has as many connections as it takes"
                        : "your address has as many connections as it may have",
         .request_id = id});
    std::string bytes;
    AppendResponseHead(bytes, response.status, response.headers,
                       {.keep_alive = false,
                        .content_length = response.body.size(),
                        .request_id = id,
                        .now = core_->options.clock->Now()});
    bytes += response.body;
    ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(descriptor, SHUT_WR);
    ::close(descriptor);
  }

  std::unique_ptr<IoThreads> own_threads_;  // null where they are shared
  const std::shared_ptr<ServerCore> core_;
  const std::vector<std::shared_ptr<ServerLoop>> loops_;
  const std::unique_ptr<Listener> listener_;
  // Of the first loop's thread.
  const std::unique_ptr<Tls> tls_;  // null without TLS
  int64_t next_refresh_ = 0;
  size_t next_loop_ = 0;
};

}  // namespace

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kMalformed:
      return "malformed";
    case Refusal::kHeaderTooLarge:
      return "header_too_large";
    case Refusal::kBodyTooLarge:
      return "body_too_large";
    case Refusal::kHeaderTimeout:
      return "header_timeout";
    case Refusal::kBodyTimeout:
      return "body_timeout";
    case Refusal::kTotalTimeout:
      return "total_timeout";
    case Refusal::kWriteTimeout:
      return "write_timeout";
    case Refusal::kIdleTimeout:
      return "idle_timeout";
    case Refusal::kPingTimeout:
      return "ping_timeout";
    case Refusal::kTooManyConnections:
      return "too_many_connections";
    case Refusal::kTooManyFromAddress:
      return "too_many_from_address";
    case Refusal::kTlsHandshake:
      return "tls_handshake";
    case Refusal::kTooManyResets:
      return "too_many_resets";
    case Refusal::kFlood:
      return "flood";
    case Refusal::kOverMemory:
      return "over_memory";
    case Refusal::kCount:
      break;
  }
  return "unknown";
}

Response RenderServerError(const ServerError& error) {
  const nlohmann::json body = {{"error",
                                {{"code", std::string(error.code)},
                                 {"message", std::string(error.message)},
                                 {"request_id", std::string(error.request_id)}}}};
  return {.status = error.status,
          .headers = {{"content-type", "application/json"}},
          .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, Handler& handler) {
  RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<Tls> tls;
  if (!options.tls_certificate_file.empty() || !options.tls_key_file.empty() ||
      !options.tls_client_ca_file.empty()) {
    ASSIGN_OR_RETURN(tls, Tls::Load(options.tls_certificate_file, options.tls_key_file,
                                    options.tls_client_ca_file));
  }
  const auto core = std::make_shared<ServerCore>(std::move(options), handler);
  std::unique_ptr<IoThreads> own_threads;
  IoThreads* threads = core->options.io_threads;
  if (threads == nullptr) {
    own_threads = std::make_unique<IoThreads>(core->options.threads);
    threads = own_threads.get();
  }
  std::vector<std::shared_ptr<ServerLoop>> loops;
  for (const std::shared_ptr<IoLoop>& io : threads->loops()) {
    loops.push_back(std::make_shared<ServerLoop>(core, io));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener,
                   Listener::Bind(loops[0]->context(), core->options.address));
  auto server = std::make_unique<RealServer>(std::move(own_threads), core, std::move(loops),
                                             std::move(listener), std::move(tls));
  server->Start();
  return server;
}

}  // namespace slipway::http
