#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_HEALTH_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_HEALTH_H_

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/http/grpc/server_call.h"
#include "common/sync/mutex.h"
#include "grpc/health/v1/health.pb.h"

namespace slipway::gateway {

/// grpc.health.v1.Health: every service that is served is as ready as the gateway. Needs no key.
/// Any thread.
class HealthDoor {
 public:
  using Call = std::shared_ptr<http::grpc::ServerCall>;

  /// `services`: full names. `ready` outlives it.
  HealthDoor(std::set<std::string> services, std::function<bool()> ready)
      : services_(std::move(services)), ready_(std::move(ready)) {}

  /// False where there is no such method.
  bool Handle(const Call& call, std::string_view method);

  /// Tells those who watch when it has changed, and, at the `end`, that it serves no more. To be
  /// called every now and then.
  void Refresh(bool end = false);

 private:
  using Status = ::grpc::health::v1::HealthCheckResponse::ServingStatus;
  struct Watcher {
    Call call;
    std::string service;
    Status told;
  };

  Status StatusOf(const std::string& service) const;
  void Check(const Call& call);
  void Watch(const Call& call);

  const std::set<std::string> services_;
  const std::function<bool()> ready_;
  Mutex mutex_;
  std::set<std::shared_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_HEALTH_H_
