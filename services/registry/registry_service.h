#ifndef SLIPWAY_SERVICES_REGISTRY_REGISTRY_SERVICE_H_
#define SLIPWAY_SERVICES_REGISTRY_REGISTRY_SERVICE_H_

#include <memory>

#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/registry/blob_catalog.h"
#include "services/registry/registry.h"
#include "services/registry/storage_meter.h"

namespace grpc {
class Service;
}

namespace slipway::registry {

/// The gRPC service slipway.registry.v1.RegistryService: authenticates, parses names, calls the
/// domain. Any thread.
class RegistryEdge {
 public:
  /// At most `max_streams` uploads and downloads run at once; further ones get
  /// kResourceExhausted. The other arguments outlive the edge. Errors: those of
  /// ServiceEdge::Create.
  static absl::StatusOr<std::unique_ptr<RegistryEdge>> Create(
      Registry& registry, BlobCatalog& blobs, StorageMeter& meter, const TokenVerifier& verifier,
      Metrics& metrics, const Clock& clock, int max_streams);
  ~RegistryEdge();

  /// What a GrpcServer serves; owned by the edge.
  grpc::Service* service() const;

 private:
  class Impl;
  explicit RegistryEdge(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_REGISTRY_SERVICE_H_
