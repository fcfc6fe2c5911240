// slipway-registry: models, their versions, datasets, and the bytes of both.

#include <atomic>

#include "common/admin/admin.h"
#include "common/blob/file_blob_store.h"
#include "common/config/service_main.h"
#include "common/config/version.h"
#include "common/grpc/server.h"
#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/process/shutdown.h"
#include "common/sql/database.h"
#include "services/registry/blob_catalog.h"
#include "services/registry/config.h"
#include "services/registry/garbage_collector.h"
#include "services/registry/registry.h"
#include "services/registry/registry_service.h"
#include "services/registry/sql_registry_store.h"
#include "services/registry/storage_meter.h"

namespace slipway::registry {
namespace {

// An hour that is over is billed so long after it at the latest.
constexpr absl::Duration kBillInterval = absl::Minutes(1);

absl::Status Run(const RegistryConfig& config) {
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  Metrics metrics("registry");

  ASSIGN_OR_RETURN(const auto verifier,
                   TokenVerifier::Create(config.trust_dir, ServiceId::kRegistry, clock));
  ASSIGN_OR_RETURN(const auto database, sql::Database::Open(config.database));
  ASSIGN_OR_RETURN(const auto store, SqlRegistryStore::Create(*database));
  ASSIGN_OR_RETURN(const auto blobs, FileBlobStore::Open(config.blobs));
  Registry registry(*store, clock);
  BlobCatalog catalog(*store, *blobs, clock,
                      {.max_blob_bytes = config.max_blob_bytes,
                       .unused_ttl = config.unused_blob_ttl,
                       .request_ttl = config.request_id_ttl});
  GarbageCollector collector(catalog, config.garbage_interval);
  StorageMeter meter(*store, clock);
  meter.Start(kBillInterval);

  ASSIGN_OR_RETURN(const auto edge, RegistryEdge::Create(registry, catalog, meter, *verifier,
                                                         metrics, clock, config.max_streams));
  std::atomic<bool> ready = false;
  ASSIGN_OR_RETURN(const auto admin,
                   AdminServer::Start(config.admin_listen, metrics, [&] { return ready.load(); }));
  GrpcServerOptions listen;
  listen.address = config.listen;
  listen.tls = config.tls;
  // A stream holds a thread; the rest is for short calls.
  listen.max_threads = config.max_streams + 64;
  ASSIGN_OR_RETURN(const auto server, GrpcServer::Start(listen, {edge->service()}));

  server->SetServing(true);
  ready = true;
  Log(Severity::kInfo, "service_started", {{"address", server->address()}, {"version", Version()}});
  const std::string reason = shutdown.Wait();
  Log(Severity::kInfo, "service_stopping", {{"reason", reason}});
  ready = false;
  server->SetServing(false);
  server->Drain(config.drain_timeout);
  Log(Severity::kInfo, "service_stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::registry

int main(int argc, char** argv) {
  return slipway::ServiceMain<slipway::registry::RegistryConfig>("registry", argc, argv,
                                                                 slipway::registry::Run);
}
