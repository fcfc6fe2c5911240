#include "services/gateway/metrics_door.h"

#include <map>
#include <utility>

#include "common/http/server/server.h"
#include "common/http/unix_get.h"
#include "common/metrics/metrics.h"
#include "fmt/format.h"
#include "services/gateway/error_body.h"
#include "common/sync/work_pool.h"

namespace slipway::gateway {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(2);

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
      const auto text = http::UnixGet(path, "/metrics", kPatience);
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
