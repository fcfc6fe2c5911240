#ifndef SLIPWAY_SERVICES_GATEWAY_RELAY_API_CALL_H_
#define SLIPWAY_SERVICES_GATEWAY_RELAY_API_CALL_H_

#include <memory>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "common/sync/in_flight.h"
#include "common/sync/mutex.h"
#include "google/protobuf/message.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "services/gateway/relay/api_handler.h"
#include "services/gateway/relay/api_transport.h"

// Inside of services/gateway/relay: the calls that ApiHandler makes of requests.
namespace slipway::gateway {

class WatchCall;

/// What the calls of one handler share.
struct ApiCore {
  ApiCore(const ApiOptions& the_options, const ApiParts& the_parts)
      : options(the_options), parts(the_parts) {}

  const ApiOptions options;
  const ApiParts parts;
  InFlight calls;
  InFlight streams;
  Mutex mutex;
  std::set<WatchCall*> watches GUARDED_BY(mutex);
  bool ending GUARDED_BY(mutex) = false;
};

/// One call, from the method that it names to its answer. Owned by whatever it waits for.
class ApiCall : public std::enable_shared_from_this<ApiCall> {
 public:
  ApiCall(ApiCore& core, RequestMetrics& metrics, const PublicMethod& method,
          std::shared_ptr<const KnownKey> key, std::unique_ptr<ApiTransport> transport);
  virtual ~ApiCall() = default;

  /// Reads what there is to read, checks it, writes the intent into the audit log, then Begin().
  void Start();

 protected:
  /// The work. request() is complete. In the pool; must not wait for other services.
  virtual void Begin() = 0;

  /// Ends the call with an error. Once, unless Succeed() is called.
  void Fail(const absl::Status& status);
  /// Ends the call with a message as its answer.
  void Succeed(const google::protobuf::Message& answer);
  /// Ends a call whose answer was sent otherwise (a stream; the listener's own refusal).
  void End(int http_code);

  /// Puts token, request id and deadline into `context_`, and has it cancelled when the caller
  /// leaves.
  absl::Status PrepareContext(absl::Time deadline);

  ApiCore& core() { return core_; }
  const PublicMethod& method() const { return method_; }
  google::protobuf::Message& request() { return *request_; }
  ApiTransport& transport() { return *transport_; }
  const std::string& request_id() const { return transport_->exchange().head().request_id; }
  const Principal& principal() const;

  grpc::ClientContext context_;

 private:
  void Submit();
  absl::Status Check();
  absl::Status Audit();

  ApiCore& core_;
  const InFlight::Guard in_flight_;
  RequestMetrics& metrics_;
  const PublicMethod& method_;
  const std::shared_ptr<const KnownKey> key_;
  const std::unique_ptr<ApiTransport> transport_;
  const absl::Duration start_;
  std::unique_ptr<google::protobuf::Message> request_;
  Recorder::Ticket audit_;
};

std::shared_ptr<ApiCall> MakeUnaryCall(ApiCore& core, RequestMetrics& metrics,
                                       const PublicMethod& method,
                                       std::shared_ptr<const KnownKey> key,
                                       std::unique_ptr<ApiTransport> transport);
/// An upload, a download or a watch.
std::shared_ptr<ApiCall> MakeStreamCall(ApiCore& core, RequestMetrics& metrics,
                                        const PublicMethod& method,
                                        std::shared_ptr<const KnownKey> key,
                                        std::unique_ptr<ApiTransport> transport);
/// Ends the watches of `core`, and those that are still to begin.
void EndWatches(ApiCore& core);

/// A message as gRPC sends it, and back.
grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message);
absl::Status FromBuffer(grpc::ByteBuffer& buffer, google::protobuf::Message& message);

/// A status of a relayed call, fit for callers: where a service is gone, only its name is told.
absl::Status FromBackend(const grpc::Status& status, const std::string& backend);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_RELAY_API_CALL_H_
