#include "services/gateway/metrics_door.h"

#include <filesystem>
#include <map>
#include <string_view>
#include <utility>

#include "common/http/server/server.h"
#include "common/http/unix_get.h"
#include "common/metrics/metrics.h"
#include "common/sync/work_pool.h"
#include "fmt/format.h"
#include "services/gateway/error_body.h"

namespace slipway::gateway {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(2);
constexpr std::string_view kUnix = "unix:";

}  // namespace

class MetricsDoor::Impl : public http::Handler {
 public:
  explicit Impl(const std::vector<std::string>& targets) : targets_(targets), pool_(1, 16) {}

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
    for (const auto& [name, path] : Targets()) {
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

  // Sockets by service. What a star stands for is looked up each time.
  std::map<std::string, std::string> Targets() const {
    std::map<std::string, std::string> found;
    for (const std::string& target : targets_) {
      const size_t equals = target.find('=');
      const std::string name = target.substr(0, equals);
      const std::string path = target.substr(equals + 1 + kUnix.size());
      const size_t name_star = name.find('*');
      const size_t star = path.find('*');
      if (name_star == std::string::npos || star == std::string::npos) {
        found[name] = path;
        continue;
      }
      const size_t folder = path.rfind('/');
      const std::string prefix = path.substr(0, star);
      const std::string suffix = path.substr(star + 1);
      std::error_code ignored;
      for (const auto& entry :
           std::filesystem::directory_iterator(path.substr(0, folder), ignored)) {
        const std::string& socket = entry.path().native();
        if (socket.size() < prefix.size() + suffix.size() || !socket.starts_with(prefix) ||
            !socket.ends_with(suffix)) {
          continue;
        }
        const std::string word = socket.substr(star, socket.size() - prefix.size() - suffix.size());
        found[name.substr(0, name_star) + word + name.substr(name_star + 1)] = socket;
      }
    }
    return found;
  }

  const std::vector<std::string> targets_;
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
