#ifndef SLIPWAY_SERVICES_CONTROLLER_GRPC_WORKER_CLIENT_H_
#define SLIPWAY_SERVICES_CONTROLLER_GRPC_WORKER_CLIENT_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/tls.h"
#include "common/identity/token.h"
#include "common/sync/mutex.h"
#include "services/controller/worker_client.h"

namespace slipway::controller {

/// Workers over gRPC. Keeps one channel an address.
class GrpcWorkerClient final : public WorkerClient {
 public:
  /// How long one call other than List may take.
  static constexpr absl::Duration kCallTimeout = absl::Seconds(10);
  /// How long a worker may go on fetching with the token that a load gave it.
  static constexpr absl::Duration kLoadTokenLifetime = absl::Hours(1);

  /// `issuer` (the controller's) and `clock` outlive the client.
  GrpcWorkerClient(TokenIssuer& issuer, TlsFiles tls, const Clock& clock);
  ~GrpcWorkerClient() override;

  std::vector<absl::StatusOr<WorkerReport>> List(const std::vector<std::string>& addresses,
                                                 absl::Duration timeout) override;
  absl::Status Load(const std::string& address, const ModelKey& model,
                    const VersionDetails& version,
                    const slipway::worker::v1::RuntimeSettings& runtime) override;
  absl::Status Unload(const std::string& address, const ModelKey& model) override;

 private:
  struct Peer;
  struct Listing;

  absl::StatusOr<std::shared_ptr<Peer>> Dial(const std::string& address);
  absl::StatusOr<std::string> OwnToken();

  TokenIssuer& issuer_;
  const TlsFiles tls_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Peer>> peers_ GUARDED_BY(mutex_);
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_GRPC_WORKER_CLIENT_H_
