#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_OIP_HANDLER_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_OIP_HANDLER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/http/server/server.h"
#include "common/identity/token.h"
#include "common/time/clock.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/in_flight.h"
#include "services/gateway/routing/route_table.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/work_pool.h"

namespace slipway::gateway {

/// The Open Inference Protocol over REST: /v2/... A model is a deployment of the caller's tenant.
/// It owns no state: tensors go to a worker that the route table names, and come back. Any thread.
class OipHandler {
 public:
  struct Options {
    std::string server_name = "slipway";
    std::string version;
    uint64_t max_body_bytes = 32 << 20;
    /// For the worker's answer.
    absl::Duration timeout = absl::Seconds(30);
    /// Larger bodies are parsed by the pool, so that they hold up nobody else's connection.
    size_t inline_body_bytes = 256 << 10;
    /// How many workers are asked where one was not there.
    int max_attempts = 3;
  };
  struct Parts {
    const Routes& routes;
    Recorder& recorder;
    TokenIssuer& tokens;
    WorkPool& pool;
    GatewayMetrics& metrics;
    const Clock& clock;
    std::function<bool()> ready;
  };

  /// All parts outlive the handler.
  OipHandler(Options options, Parts parts);
  /// Waits for the predictions under way; they end soon once their listener is gone.
  ~OipHandler() { in_flight_.WaitForNone(); }

  /// The paths that need no key: /v2/health/live and /v2/health/ready. False for all others.
  bool HandleAnonymous(const std::shared_ptr<http::Exchange>& exchange);

  /// A path that starts with /v2.
  void Handle(std::shared_ptr<http::Exchange> exchange, std::shared_ptr<const KnownKey> key);

 private:
  class InferCall;
  struct ModelPath;

  void HandleModel(std::shared_ptr<http::Exchange> exchange, std::shared_ptr<const KnownKey> key,
                   const ModelPath& path);
  void Answer(http::Exchange& exchange, RequestMetrics& metrics, int status, std::string body);
  void Refuse(http::Exchange& exchange, RequestMetrics& metrics, const absl::Status& status);
  /// False, and answered 405, unless the request has this method.
  bool Takes(http::Exchange& exchange, std::string_view method);

  const Options options_;
  const Parts parts_;
  RequestMetrics& infer_;
  RequestMetrics& metadata_;
  RequestMetrics& health_;
  RequestMetrics& other_;
  InFlight in_flight_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_OIP_HANDLER_H_
