#ifndef SLIPWAY_SERVICES_GATEWAY_RELAY_API_HANDLER_H_
#define SLIPWAY_SERVICES_GATEWAY_RELAY_API_HANDLER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/http/server/server.h"
#include "common/sync/work_pool.h"
#include "common/time/clock.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/api/method_table.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/limits/admission.h"
#include "services/gateway/relay/backends.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/refusals.h"

namespace slipway::gateway {

struct ApiOptions {
  uint64_t max_body_bytes = 4 << 20;  ///< Of JSON.
  uint64_t max_upload_bytes = uint64_t{100} << 30;
  absl::Duration timeout = absl::Seconds(30);  ///< Of a call that is no stream.
  /// An empty line goes out after so long a silence, so that both ends see a dead connection.
  absl::Duration heartbeat = absl::Seconds(10);
  int max_streams = 512;
};

/// What the public API is made of. All of it outlives the handler.
struct ApiParts {
  const MethodTable& methods;
  const LocalMethods& local;
  Backends& backends;
  const KeyTable& keys;
  Admission& admission;
  Recorder& recorder;
  Refusals& refusals;
  WorkPool& pool;
  GatewayMetrics& metrics;
  const Clock& clock;
};

struct ApiCore;
class ApiTransport;

/// The public API: what the method table declares, relayed to the service that owns it, or answered
/// by a handler of the gateway's own. Over REST (/api/v1/...) and gRPC by the same way. Any thread.
///
/// A call: path and HTTP method, or gRPC's path, name a method; the key's role must include the
/// method's; what came becomes the request message; "tenants/-" becomes the key's own tenant; the
/// tenant that the request is about must be one that the key may touch; a method that changes
/// something is written into the audit log, then done, then its result is.
///
/// Threads: parsing and the gateway's own handlers run in the pool, whose queue is bounded (503).
/// Relayed calls hold no thread while they wait. Uploads and downloads move one piece at a time,
/// so that their memory is flat.
class ApiHandler {
 public:
  ApiHandler(const ApiOptions& options, const ApiParts& parts);
  /// Waits for the calls under way; they end soon once their listener is gone.
  ~ApiHandler();

  /// A path that starts with /api/.
  void Handle(std::shared_ptr<http::Exchange> exchange, std::shared_ptr<const KnownKey> key);

  /// A call of `method`, one of the table's, however it came.
  void Start(const PublicMethod& method, std::shared_ptr<const KnownKey> key,
             std::unique_ptr<ApiTransport> transport);

  /// Ends the streams that would go on for as long as their callers like, so that a drain can
  /// end. Uploads and downloads end by themselves.
  void EndWatches();

 private:
  const std::unique_ptr<ApiCore> core_;
  RequestMetrics& unknown_;
  std::map<const PublicMethod*, RequestMetrics*> method_metrics_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_RELAY_API_HANDLER_H_
