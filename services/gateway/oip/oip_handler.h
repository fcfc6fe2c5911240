#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_OIP_HANDLER_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_OIP_HANDLER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/http/server/server.h"
#include "common/identity/token.h"
#include "common/sync/in_flight.h"
#include "common/sync/work_pool.h"
#include "common/time/clock.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/oip/infer_call.h"
#include "services/gateway/oip/model_path.h"
#include "services/gateway/oip/repository.h"
#include "services/gateway/oip/worker_queries.h"
#include "services/gateway/routing/route_table.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/refusals.h"

namespace slipway::gateway {

/// The Open Inference Protocol over REST: /v2/... A model is a deployment of the caller's tenant;
/// the repository is the operator's, and names deployments in full. It owns no state: tensors go
/// to a worker that the route table names, and come back. Any thread.
class OipHandler {
 public:
  struct Options {
    std::string server_name = "slipway";
    std::string version;
    InferCall::Options infer;
    /// For a worker's answer to a prediction.
    absl::Duration timeout = absl::Seconds(30);
    /// For what workers say of their models.
    absl::Duration query_timeout = absl::Seconds(5);
  };
  struct Parts {
    const Routes& routes;
    Admission& admission;
    Recorder& recorder;
    Refusals& refusals;
    TokenIssuer& tokens;
    Shadows& shadows;
    WorkPool& pool;
    GatewayMetrics& metrics;
    const Clock& clock;
    const Repository& repository;
    std::function<bool()> ready;
  };

  /// All parts outlive the handler.
  OipHandler(Options options, Parts parts);
  /// Waits for the calls under way; they end soon once their listener is gone.
  ~OipHandler() { in_flight_.WaitForNone(); }

  /// The paths that need no key: /v2/health/live and /v2/health/ready. False for all others.
  bool HandleAnonymous(const std::shared_ptr<http::Exchange>& exchange);

  /// A path that starts with /v2.
  void Handle(std::shared_ptr<http::Exchange> exchange, std::shared_ptr<const KnownKey> key);

 private:
  using Exchange = std::shared_ptr<http::Exchange>;
  using Key = std::shared_ptr<const KnownKey>;
  using Outcomes = std::vector<Worker::Outcome>;

  void HandleModel(Exchange exchange, Key key, const ModelPath& path);
  void HandleRepository(const Exchange& exchange, Key key);
  void Infer(Exchange exchange, Key key, std::shared_ptr<const Endpoint> endpoint,
             const Target* target, const std::string& version);
  void SayReady(http::Exchange& exchange, const Endpoint& endpoint, const Target* target);
  void SayConfig(Exchange exchange, const KnownKey& key, std::shared_ptr<const Endpoint> endpoint,
                 const Target* target);
  /// Of one model, or of all that the tenant has where `endpoint` is null.
  void SayStatistics(Exchange exchange, const KnownKey& key, const Endpoint* endpoint,
                     const std::string& version);
  void SayIndex(Exchange exchange);
  void ChangeRepository(const Exchange& exchange, Key key, const RepositoryPath& path);

  void Ask(const Exchange& exchange, const KnownKey& key, std::string_view method,
           std::vector<WorkerQuery> queries, absl::AnyInvocable<void(Outcomes)> done);
  void Answer(http::Exchange& exchange, RequestMetrics& metrics, int status, std::string body);
  void Refuse(http::Exchange& exchange, RequestMetrics& metrics, const absl::Status& status);
  /// Counts the request. False, and answered 429, where the key may make no more.
  bool Admit(http::Exchange& exchange, const KnownKey& key);
  /// False, and answered 405, unless the request has this method.
  bool Takes(http::Exchange& exchange, std::string_view method);

  const Options options_;
  const Parts parts_;
  RequestMetrics& infer_;
  RequestMetrics& metadata_;
  RequestMetrics& health_;
  RequestMetrics& other_;
  const Prediction::Parts predictions_;
  InFlight in_flight_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_OIP_HANDLER_H_
