#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_WATCHER_CLIENT_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_WATCHER_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/routing/route_table.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace slipway::gateway {

/// Keeps the routes as the controller streams them, by a thread of its own. While the controller
/// is away the last table holds, and the watcher dials again, at first after `first_retry`, then
/// ever more slowly.
class RouteWatcher {
 public:
  struct Options {
    absl::Duration first_retry = absl::Milliseconds(100);
    absl::Duration last_retry = absl::Seconds(5);
  };
  /// The gateway's own token for the controller; a fresh one for each stream.
  using Token = std::function<absl::StatusOr<std::string>()>;

  /// `routes`, `metrics` and `traffic` outlive the watcher.
  RouteWatcher(std::shared_ptr<grpc::Channel> controller, Token token,
               RouteTable::WorkerFor worker_for, Routes& routes, GatewayMetrics& metrics,
               TrafficBook& traffic, const Options& options);
  ~RouteWatcher();

  void Start();

 private:
  void Run();
  /// One stream, until it ends. True when it brought a table.
  bool Watch();

  const std::shared_ptr<grpc::Channel> controller_;
  const Token token_;
  const RouteTable::WorkerFor worker_for_;
  Routes& routes_;
  GatewayMetrics& metrics_;
  TrafficBook& traffic_;
  const Options options_;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  grpc::ClientContext* stream_ GUARDED_BY(mutex_) = nullptr;
  std::jthread thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_WATCHER_CLIENT_H_
