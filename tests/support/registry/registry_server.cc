#include "tests/support/registry/registry_server.h"

#include "common/blob/file_blob_store.h"
#include "common/grpc/server.h"
#include "common/metrics/metrics.h"
#include "common/sql/database.h"
#include "services/registry/blob_catalog.h"
#include "services/registry/registry.h"
#include "services/registry/registry_service.h"
#include "services/registry/sql_registry_store.h"
#include "services/registry/storage_meter.h"

namespace slipway {

class RegistryServer::Impl {
 public:
  Impl(const TestTrust& trust, const std::string& folder, const std::string& socket)
      : verifier_(trust.Verifier(ServiceId::kRegistry)),
        database_(sql::Database::Open("sqlite:" + folder + "/registry.db").value()),
        store_(registry::SqlRegistryStore::Create(*database_).value()),
        blobs_(FileBlobStore::Open(folder + "/blobs").value()),
        registry_(*store_, Clock::Real()),
        catalog_(*store_, *blobs_, Clock::Real(), registry::BlobCatalogOptions()),
        meter_(*store_, Clock::Real()),
        edge_(registry::RegistryEdge::Create(registry_, catalog_, meter_, *verifier_, metrics_,
                                             Clock::Real(), /*max_streams=*/64)
                  .value()),
        server_(GrpcServer::Start({.address = "unix:" + socket}, {edge_->service()}).value()) {
    server_->SetServing(true);
  }

  std::string address() const { return server_->address(); }

 private:
  Metrics metrics_{"registry"};
  const std::unique_ptr<TokenVerifier> verifier_;
  const std::unique_ptr<sql::Database> database_;
  const std::unique_ptr<registry::SqlRegistryStore> store_;
  const std::unique_ptr<FileBlobStore> blobs_;
  registry::Registry registry_;
  registry::BlobCatalog catalog_;
  registry::StorageMeter meter_;
  const std::unique_ptr<registry::RegistryEdge> edge_;
  const std::unique_ptr<GrpcServer> server_;
};

RegistryServer::RegistryServer(const TestTrust& trust, const std::string& folder,
                               const std::string& socket)
    : impl_(std::make_unique<Impl>(trust, folder, socket)) {}
RegistryServer::~RegistryServer() = default;

std::string RegistryServer::address() const { return impl_->address(); }

}  // namespace slipway
