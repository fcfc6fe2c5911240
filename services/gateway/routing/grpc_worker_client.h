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
/// route or a call needs it, and the threads on which their answers come. Any thread. Outlives the
/// calls of its workers.
class WorkerDirectory {
 public:
  /// `threads`: how many take answers. They share one queue, and its lock: as few as keep up.
  WorkerDirectory(TlsFiles tls, int threads);
  ~WorkerDirectory();

  /// The worker at an address ("unix:/path", "host:port"); begins to connect. Null for an address
  /// that cannot be dialled.
  std::shared_ptr<Worker> Get(const std::string& address);

 private:
  class Answers;

  const TlsFiles tls_;
  const std::unique_ptr<Answers> answers_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Worker>> workers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_GRPC_WORKER_CLIENT_H_
