#ifndef SLIPWAY_COMMON_HTTP_GRPC_HEALTH_H_
#define SLIPWAY_COMMON_HTTP_GRPC_HEALTH_H_

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/http/grpc/server_call.h"
#include "common/sync/mutex.h"
#include "grpc/health/v1/health.pb.h"

namespace slipway::http::grpc {

/// grpc.health.v1.Health: every service that is served is as ready as the process. Any thread.
class Health {
 public:
  static constexpr std::string_view kService = "grpc.health.v1.Health";

  /// `services`: full names. What `ready` refers to outlives it.
  Health(std::set<std::string> services, std::function<bool()> ready)
      : services_(std::move(services)), ready_(std::move(ready)) {}

  /// False where there is no such method.
  bool Handle(const std::shared_ptr<ServerCall>& call, std::string_view method);

  /// Tells those who watch when it has changed, and, at the `end`, that it serves no more. To be
  /// called when `ready` may have changed, or every now and then.
  void Refresh(bool end = false);

 private:
  using Status = ::grpc::health::v1::HealthCheckResponse::ServingStatus;
  struct Watcher {
    std::shared_ptr<ServerCall> call;
    std::string service;
    Status told;
  };

  Status StatusOf(const std::string& service) const;
  void Check(const std::shared_ptr<ServerCall>& call);
  void Watch(const std::shared_ptr<ServerCall>& call);

  const std::set<std::string> services_;
  const std::function<bool()> ready_;
  Mutex mutex_;
  std::set<std::shared_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_GRPC_HEALTH_H_
