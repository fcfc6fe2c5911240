#include "services/gateway/metrics_door.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "common/http/server/server.h"
#include "common/metrics/metrics.h"
#include "fmt/format.h"
#include "services/gateway/error_body.h"
#include "services/gateway/work_pool.h"

namespace slipway::gateway {
namespace {

constexpr size_t kMaxText = 16 << 20;
constexpr timeval kPatience{.tv_sec = 2, .tv_usec = 0};

// A Unix socket that closes itself.
class Socket {
 public:
  static std::optional<Socket> Connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd_ < 0) return std::nullopt;
    ::setsockopt(socket.fd_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    ::setsockopt(socket.fd_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
    if (::connect(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return std::nullopt;
    }
    return socket;
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool Send(std::string_view text) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  std::optional<std::string> ReadToEnd() {
    std::string all;
    char piece[16 << 10];
    for (;;) {
      const ssize_t got = ::recv(fd_, piece, sizeof(piece), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 || all.size() > kMaxText) return std::nullopt;
      if (got == 0) return all;
      all.append(piece, static_cast<size_t>(got));
    }
  }

 private:
  explicit Socket(int fd) : fd_(fd) {}
  int fd_;
};

// The body of GET /metrics. HTTP/1.0, so that the answer ends with the connection and is whole.
std::optional<std::string> Scrape(const std::string& path) {
  auto socket = Socket::Connect(path);
  if (!socket || !socket->Send("GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")) {
    return std::nullopt;
  }
  auto answer = socket->ReadToEnd();
  if (!answer) return std::nullopt;
  const size_t line_end = answer->find("\r\n");
  const size_t head_end = answer->find("\r\n\r\n");
  if (head_end == std::string::npos ||
      answer->substr(0, line_end).find(" 200") == std::string::npos) {
    return std::nullopt;
  }
  return answer->substr(head_end + 4);
}

}  // namespace

class MetricsDoor::Impl : public http::Handler {
 public:
  explicit Impl(const std::vector<std::string>& targets) : pool_(1, 16) {
    for (const std::string& target : targets) {
      const size_t equals = target.find('=');
      constexpr std::string_view kUnix = "unix:";
      targets_[target.substr(0, equals)] = target.substr(equals + 1 + kUnix.size());
    }
  }

  absl::Status Listen(const std::string& address) {
    http::ServerOptions options;
    options.address = address;
    options.max_connections = 100;
    options.render_error = ListenerError;
    ASSIGN_OR_RETURN(server_, http::Server::Start(options, *this));
    return absl::OkStatus();
  }

  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    const http::RequestHead& head = exchange->head();
    if (head.path() != "/metrics") {
      return exchange->Respond(
          ApiError(absl::NotFoundError("metrics are at /metrics"), head.request_id));
    }
    if (head.method != "GET") {
      return exchange->Respond(MethodNotAllowed(head.path(), "GET", head.request_id));
    }
    const bool taken = pool_.Submit([this, exchange] { exchange->Respond(Collect()); });
    if (!taken) {
      exchange->Respond(ApiError(absl::UnavailableError("busy"), head.request_id));
    }
  }

  std::string address() const { return server_->address(); }

 private:
  http::Response Collect() {
    std::map<std::string, std::string> texts;
    std::string up =
        "# HELP slipway_gateway_metrics_target_up Whether the service's admin listener answered\n"
        "# TYPE slipway_gateway_metrics_target_up gauge\n";
    for (const auto& [name, path] : targets_) {
      const auto text = Scrape(path);
      if (text) texts[name] = *text;
      up += fmt::format("slipway_gateway_metrics_target_up{{service=\"{}\"}} {}\n", name,
                        text ? 1 : 0);
    }
    http::Response response;
    response.headers.Add("content-type", Metrics::kContentType);
    response.body = MergeMetrics(texts) + up;
    return response;
  }

  std::map<std::string, std::string> targets_;
  WorkPool pool_;
  std::unique_ptr<http::Server> server_;
};

absl::StatusOr<std::unique_ptr<MetricsDoor>> MetricsDoor::Start(
    const std::string& address, const std::vector<std::string>& targets) {
  auto impl = std::make_unique<Impl>(targets);
  RETURN_IF_ERROR(impl->Listen(address));
  return std::unique_ptr<MetricsDoor>(new MetricsDoor(std::move(impl)));
}

MetricsDoor::MetricsDoor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsDoor::~MetricsDoor() = default;
std::string MetricsDoor::address() const { return impl_->address(); }

}  // namespace slipway::gateway
