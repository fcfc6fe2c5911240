#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_DIRECTORY_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_DIRECTORY_H_

#include <map>
#include <memory>
#include <string>

#include "common/grpc/tls.h"
#include "common/http/channel/channel.h"
#include "common/http/io/io_threads.h"
#include "common/sync/mutex.h"
#include "services/gateway/routing/worker.h"

namespace slipway::gateway {

/// The workers that are known by their address, each with a channel that stays open as long as a
/// route or a call needs it. Any thread.
class WorkerDirectory {
 public:
  /// `threads`: those of the listener, so that a prediction stays on the thread of its request;
  /// they outlive the workers.
  WorkerDirectory(TlsFiles tls, http::IoThreads& threads);

  /// The worker at an address ("unix:/path", "host:port"); begins to connect. Null for an address
  /// that cannot be dialled.
  std::shared_ptr<Worker> Get(const std::string& address);

 private:
  absl::StatusOr<std::unique_ptr<http::grpc::Channel>> OpenChannel(const std::string& text) const;

  const TlsFiles tls_;
  http::IoThreads& threads_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Worker>> workers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_DIRECTORY_H_
