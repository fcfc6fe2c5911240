#include "common/admin/admin.h"

#include <utility>

#include "common/http/server/server.h"

namespace slipway {

class AdminServer::Impl final : public http::Handler {
 public:
  Impl(const Metrics& metrics, std::function<bool()> ready)
      : metrics_(metrics), ready_(std::move(ready)) {}

  absl::Status Listen(const std::string& address) {
    http::ServerOptions options;
    options.address = address;
    options.max_body_bytes = 0;
    options.max_connections = 128;
    ASSIGN_OR_RETURN(server_, http::Server::Start(std::move(options), *this));
    return absl::OkStatus();
  }

  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    exchange->Respond(Answer(exchange->head()));
  }

  std::string address() const { return server_->address(); }

 private:
  http::Response Answer(const http::RequestHead& head) const {
    http::Response response;
    if (head.method != "GET" && head.method != "HEAD") {
      response.status = 405;
      response.headers.Add("Allow", "GET, HEAD");
    } else if (head.path() == "/readyz") {
      response.status = ready_() ? 200 : 503;
    } else if (head.path() == "/metrics") {
      response.headers.Add("Content-Type", Metrics::kContentType);
      response.body = metrics_.Text();
    } else if (head.path() != "/healthz") {
      response.status = 404;
    }
    return response;
  }

  const Metrics& metrics_;
  const std::function<bool()> ready_;
  std::unique_ptr<http::Server> server_;
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const std::string& address,
                                                                const Metrics& metrics,
                                                                std::function<bool()> ready) {
  auto impl = std::make_unique<Impl>(metrics, std::move(ready));
  RETURN_IF_ERROR(impl->Listen(address));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminServer::~AdminServer() = default;

std::string AdminServer::address() const { return impl_->address(); }

}  // namespace slipway
