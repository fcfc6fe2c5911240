#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_OPENAI_HANDLER_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_OPENAI_HANDLER_H_

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "common/http/server/server.h"
#include "common/sync/in_flight.h"
#include "common/time/clock.h"
#include "services/gateway/api/path_template.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/limits/admission.h"
#include "services/gateway/openai/files.h"
#include "services/gateway/openai/fine_tuning.h"
#include "services/gateway/openai/organization.h"
#include "services/gateway/openai/request.h"
#include "services/gateway/relay/inner_call.h"
#include "services/gateway/routing/route_table.h"

namespace slipway::gateway {

/// OpenAI's API: /v1/... It owns no state: what it does are calls of the public API in other words,
/// with their roles, limits and audit rows. Any thread.
class OpenAiHandler {
 public:
  struct Parts {
    InnerCalls& calls;
    const Routes& routes;
    Admission& admission;
    GatewayMetrics& metrics;
    const Clock& clock;
  };

  /// All parts outlive the handler.
  explicit OpenAiHandler(const Parts& parts);
  /// Waits for the requests under way; they end soon once their listener is gone.
  ~OpenAiHandler() { in_flight_.WaitForNone(); }

  /// A path that starts with /v1.
  void Handle(std::shared_ptr<http::Exchange> exchange, std::shared_ptr<const KnownKey> key);

 private:
  using Handler = std::function<void(const openai::RequestPtr&)>;
  struct Route {
    std::string_view http_method;
    PathTemplate path;
    Handler handler;
  };

  /// `path`: "/v1/files/{id}".
  void Add(std::string_view http_method, std::string_view path, Handler handler);

  /// Counts a request that is no call of the public API. False, and answered, where the key may
  /// make no more.
  bool Admit(const openai::RequestPtr& request);
  void ListModels(const openai::RequestPtr& request);
  void RetrieveModel(const openai::RequestPtr& request);
  void CreateBatch(const openai::RequestPtr& request);
  void ListBatches(const openai::RequestPtr& request);
  void RetrieveBatch(const openai::RequestPtr& request);
  void CancelBatch(const openai::RequestPtr& request);
  template <class Ask>
  void AskForBatch(std::string_view method, const openai::RequestPtr& request);

  const Parts parts_;
  openai::Files files_;
  openai::FineTuning fine_tuning_;
  openai::Organization organization_;
  RequestMetrics& models_;
  RequestMetrics& other_;
  std::vector<Route> routes_;
  InFlight in_flight_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_OPENAI_HANDLER_H_
