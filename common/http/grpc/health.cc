#include "common/http/grpc/health.h"

#include <utility>
#include <vector>

#include "common/http/grpc/messages.h"
#include "fmt/format.h"

namespace slipway::http::grpc {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr size_t kMaxWatchers = 1000;

std::string FrameOf(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return grpc::FrameOf(response);
}

}  // namespace

bool Health::Handle(const std::shared_ptr<ServerCall>& call, std::string_view method) {
  if (method == "Check") {
    Check(call);
  } else if (method == "Watch") {
    Watch(call);
  } else {
    return false;
  }
  return true;
}

Health::Status Health::StatusOf(const std::string& service) const {
  if (!service.empty() && !services_.contains(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return ready_() ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

void Health::Check(const std::shared_ptr<ServerCall>& call) {
  call->ReadOnly([this, call](absl::StatusOr<Message> message) {
    if (!message.ok()) return;
    HealthCheckRequest request;
    if (const absl::Status parsed = ParseMessage(*message, request); !parsed.ok()) {
      return call->Finish(parsed);
    }
    const Status status = StatusOf(request.service());
    if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
      return call->Finish(NotFound(fmt::format("service {}", request.service().substr(0, 100))));
    }
    call->Answer(FrameOf(status), nullptr);
  });
}

void Health::Watch(const std::shared_ptr<ServerCall>& call) {
  call->AllowStream();
  call->ReadOnly([this, call](absl::StatusOr<Message> message) {
    if (!message.ok()) return;
    HealthCheckRequest request;
    if (const absl::Status parsed = ParseMessage(*message, request); !parsed.ok()) {
      return call->Finish(parsed);
    }
    auto watcher = std::make_shared<Watcher>();
    watcher->call = call;
    watcher->service = request.service();
    watcher->told = StatusOf(request.service());
    {
      MutexLock lock(mutex_);
      if (watchers_.size() >= kMaxWatchers) {
        return call->Finish(absl::UnavailableError("too many watch; try again"));
      }
      watchers_.insert(watcher);
    }
    call->exchange().OnCancel([this, watcher] {
      MutexLock lock(mutex_);
      watchers_.erase(watcher);
    });
    call->Write(FrameOf(watcher->told), nullptr);
  });
}

void Health::Refresh(bool end) {
  std::vector<std::pair<std::shared_ptr<Watcher>, Status>> changed;
  {
    MutexLock lock(mutex_);
    for (const auto& watcher : watchers_) {
      const Status now = StatusOf(watcher->service);
      if (end || std::exchange(watcher->told, now) != now) changed.emplace_back(watcher, now);
    }
    if (end) watchers_.clear();
  }
  for (const auto& [watcher, now] : changed) {
    watcher->call->Write(FrameOf(now), nullptr);
    if (end) watcher->call->Finish(absl::UnavailableError("the server is stopping"));
  }
}

}  // namespace slipway::http::grpc
