#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_GRPC_WORKER_CLIENT_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_GRPC_WORKER_CLIENT_H_

#include <map>
#include <memory>
#include <string>

#include "common/grpc/tls.h"
#include "common/sync/mutex.h"
#include "services/gateway/routing/worker.h"

namespace slipway::gateway {

/// The workers that are known by their address, each with a channel that stays open as long as a
/// route or a call needs it. Any thread.
class WorkerDirectory {
 public:
  explicit WorkerDirectory(TlsFiles tls) : tls_(std::move(tls)) {}

  /// The worker at an address ("unix:/path", "host:port"); begins to connect. Null for an address
  /// that cannot be dialled.
  std::shared_ptr<Worker> Get(const std::string& address);

 private:
  const TlsFiles tls_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Worker>> workers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_GRPC_WORKER_CLIENT_H_
