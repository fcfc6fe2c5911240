#include "services/registry/registry_service.h"

#include <atomic>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/grpc/edge.h"
#include "grpcpp/grpcpp.h"
#include "prometheus/counter.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway::registry {
namespace {

// What a download sends at once: large enough that gRPC's cost per message vanishes, small enough
// that memory stays flat with many readers.
constexpr size_t kChunkBytes = 256 << 10;

/// The name of a child whose id the caller chose.
template <class Name>
absl::StatusOr<Name> ParseChild(const std::string& parent, std::string_view id_field,
                                const std::string& id) {
  ASSIGN_OR_RETURN(TenantName tenant, TenantName::Parse("parent", parent));
  RETURN_IF_ERROR(CheckSlug(id_field, id));
  return Name{std::move(tenant.tenant), id};
}

template <class Request>
PageRequest PageOf(const Request& request) {
  return {request.page_size(), request.page_token()};
}

}  // namespace

class RegistryEdge::Impl final : public v1::RegistryService::Service {
 public:
  Impl(Registry& registry, BlobCatalog& blobs, StorageMeter& meter,
       std::unique_ptr<ServiceEdge> edge, Metrics& metrics, int max_streams)
      : registry_(registry),
        blobs_(blobs),
        meter_(meter),
        edge_(std::move(edge)),
        max_streams_(max_streams),
        uploaded_bytes_(metrics.Counter("uploaded_bytes_total", "Bytes of blobs that were stored")),
        downloaded_bytes_(
            metrics.Counter("downloaded_bytes_total", "Bytes of blobs that were read")) {}

  grpc::Status ListUsageEvents(grpc::ServerContext* context,
                               const v1::ListUsageEventsRequest* request,
                               v1::ListUsageEventsResponse* response) override {
    return edge_->Call(*context, "ListUsageEvents", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(*response, meter_.ListUsage(call.principal, request->after_cursor(),
                                                   request->page_size()));
      return absl::OkStatus();
    });
  }

  grpc::Status CreateModel(grpc::ServerContext* context, const v1::CreateModelRequest* request,
                           v1::Model* response) override {
    return edge_->Call(*context, "CreateModel", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const auto name,
                       ParseChild<ModelName>(request->parent(), "model_id", request->model_id()));
      ASSIGN_OR_RETURN(*response, registry_.CreateModel(call.principal, name, request->model(),
                                                        request->request_id()));
      return absl::OkStatus();
    });
  }

  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest* request,
                        v1::Model* response) override {
    return edge_->Call(*context, "GetModel", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelName name, ModelName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*response, registry_.GetModel(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    return edge_->Call(*context, "ListModels", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const TenantName parent, TenantName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(*response, registry_.ListModels(call.principal, parent, PageOf(*request)));
      return absl::OkStatus();
    });
  }

  grpc::Status CreateModelVersion(grpc::ServerContext* context,
                                  const v1::CreateModelVersionRequest* request,
                                  v1::ModelVersion* response) override {
    return edge_->Call(
        *context, "CreateModelVersion", [&](const CallContext& call) -> absl::Status {
          ASSIGN_OR_RETURN(const ModelName parent, ModelName::Parse("parent", request->parent()));
          ASSIGN_OR_RETURN(*response,
                           registry_.CreateVersion(call.principal, parent, request->model_version(),
                                                   request->request_id()));
          return absl::OkStatus();
        });
  }

  grpc::Status GetModelVersion(grpc::ServerContext* context,
                               const v1::GetModelVersionRequest* request,
                               v1::ModelVersion* response) override {
    return edge_->Call(*context, "GetModelVersion", [&](const CallContext& call) -> absl::Status {
      if (const auto alias = AliasName::Parse("name", request->name()); alias.ok()) {
        ASSIGN_OR_RETURN(*response, registry_.GetVersion(call.principal, *alias));
        return absl::OkStatus();
      }
      ASSIGN_OR_RETURN(const VersionName name, VersionName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*response, registry_.GetVersion(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status ListModelVersions(grpc::ServerContext* context,
                                 const v1::ListModelVersionsRequest* request,
                                 v1::ListModelVersionsResponse* response) override {
    return edge_->Call(*context, "ListModelVersions", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelName parent, ModelName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(*response, registry_.ListVersions(call.principal, parent, PageOf(*request)));
      return absl::OkStatus();
    });
  }

  grpc::Status SetAlias(grpc::ServerContext* context, const v1::SetAliasRequest* request,
                        v1::Alias* response) override {
    return edge_->Call(*context, "SetAlias", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const AliasName name,
                       AliasName::Parse("alias.name", request->alias().name()));
      ASSIGN_OR_RETURN(const VersionName version,
                       VersionName::Parse("alias.version", request->alias().version()));
      ASSIGN_OR_RETURN(*response, registry_.SetAlias(call.principal, name, version));
      return absl::OkStatus();
    });
  }

  grpc::Status ListAliases(grpc::ServerContext* context, const v1::ListAliasesRequest* request,
                           v1::ListAliasesResponse* response) override {
    return edge_->Call(*context, "ListAliases", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelName parent, ModelName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(*response, registry_.ListAliases(call.principal, parent, PageOf(*request)));
      return absl::OkStatus();
    });
  }

  grpc::Status DeleteAlias(grpc::ServerContext* context, const v1::DeleteAliasRequest* request,
                           google::protobuf::Empty*) override {
    return edge_->Call(*context, "DeleteAlias", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const AliasName name, AliasName::Parse("name", request->name()));
      return registry_.DeleteAlias(call.principal, name);
    });
  }

  grpc::Status CreateDataset(grpc::ServerContext* context, const v1::CreateDatasetRequest* request,
                             v1::Dataset* response) override {
    return edge_->Call(*context, "CreateDataset", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const auto name, ParseChild<DatasetName>(request->parent(), "dataset_id",
                                                                request->dataset_id()));
      ASSIGN_OR_RETURN(*response, registry_.CreateDataset(call.principal, name, request->dataset(),
                                                          request->request_id()));
      return absl::OkStatus();
    });
  }

  grpc::Status GetDataset(grpc::ServerContext* context, const v1::GetDatasetRequest* request,
                          v1::Dataset* response) override {
    return edge_->Call(*context, "GetDataset", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DatasetName name, DatasetName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*response, registry_.GetDataset(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status ListDatasets(grpc::ServerContext* context, const v1::ListDatasetsRequest* request,
                            v1::ListDatasetsResponse* response) override {
    return edge_->Call(*context, "ListDatasets", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const TenantName parent, TenantName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(*response, registry_.ListDatasets(call.principal, parent, PageOf(*request),
                                                         {.after = request->after(),
                                                          .descending = request->descending(),
                                                          .purpose = request->purpose()}));
      return absl::OkStatus();
    });
  }

  grpc::Status DeleteDataset(grpc::ServerContext* context, const v1::DeleteDatasetRequest* request,
                             google::protobuf::Empty*) override {
    return edge_->Call(*context, "DeleteDataset", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DatasetName name, DatasetName::Parse("name", request->name()));
      return registry_.DeleteDataset(call.principal, name);
    });
  }

  grpc::Status PurgeTenant(grpc::ServerContext* context,
                           const identity::v1::PurgeTenantRequest* request,
                           identity::v1::PurgeTenantResponse* response) override {
    return edge_->Call(*context, "PurgeTenant", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("tenant", request->tenant()));
      ASSIGN_OR_RETURN(*response, blobs_.PurgeTenant(call.principal, tenant, request->remove()));
      return absl::OkStatus();
    });
  }

  grpc::Status UploadBlob(grpc::ServerContext* context,
                          grpc::ServerReader<v1::UploadBlobRequest>* reader,
                          v1::Blob* response) override {
    return edge_->Call(*context, "UploadBlob", [&](const CallContext& call) -> absl::Status {
      RETURN_IF_ERROR(EnterStream());
      const absl::Cleanup leave = [&] { --streams_; };
      v1::UploadBlobRequest message;
      if (!reader->Read(&message)) return InvalidField("parent", "must be in a first message");
      ASSIGN_OR_RETURN(const TenantName parent, TenantName::Parse("parent", message.parent()));
      std::optional<Digest> expected;
      if (!message.digest().empty()) {
        ASSIGN_OR_RETURN(expected, Digest::Parse("digest", message.digest()));
      }
      ASSIGN_OR_RETURN(const auto upload, blobs_.NewUpload(call.principal, parent, expected));
      do {
        RETURN_IF_ERROR(upload->Append(message.content().data()));
      } while (reader->Read(&message));
      // Read() says false for a client's last message and for a client that is gone alike.
      if (context->IsCancelled()) return absl::CancelledError("the upload was broken off");
      ASSIGN_OR_RETURN(*response, upload->Finish());
      uploaded_bytes_.Increment(static_cast<double>(response->size_bytes()));
      return absl::OkStatus();
    });
  }

  grpc::Status GetBlob(grpc::ServerContext* context, const v1::GetBlobRequest* request,
                       v1::Blob* response) override {
    return edge_->Call(*context, "GetBlob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const BlobName name, BlobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*response, blobs_.Get(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status DownloadBlob(grpc::ServerContext* context, const v1::DownloadBlobRequest* request,
                            grpc::ServerWriter<google::api::HttpBody>* writer) override {
    return edge_->Call(*context, "DownloadBlob", [&](const CallContext& call) -> absl::Status {
      RETURN_IF_ERROR(EnterStream());
      const absl::Cleanup leave = [&] { --streams_; };
      ASSIGN_OR_RETURN(const BlobName name, BlobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(const auto reader,
                       blobs_.Open(call.principal, name, request->offset_bytes()));
      google::api::HttpBody body;
      body.set_content_type("application/octet-stream");
      for (;;) {
        ASSIGN_OR_RETURN(*body.mutable_data(), reader->Read(kChunkBytes));
        if (body.data().empty()) return absl::OkStatus();
        downloaded_bytes_.Increment(static_cast<double>(body.data().size()));
        if (!writer->Write(body)) return absl::CancelledError("the download was broken off");
        body.clear_content_type();  // of the first message only
      }
    });
  }

 private:
  /// A stream holds one of the server's threads for as long as its peer likes.
  absl::Status EnterStream() {
    if (++streams_ <= max_streams_) return absl::OkStatus();
    --streams_;
    return absl::ResourceExhaustedError("too many uploads and downloads at once; try again");
  }

  Registry& registry_;
  BlobCatalog& blobs_;
  StorageMeter& meter_;
  const std::unique_ptr<ServiceEdge> edge_;
  const int max_streams_;
  prometheus::Counter& uploaded_bytes_;
  prometheus::Counter& downloaded_bytes_;
  std::atomic<int> streams_ = 0;
};

absl::StatusOr<std::unique_ptr<RegistryEdge>> RegistryEdge::Create(
    Registry& registry, BlobCatalog& blobs, StorageMeter& meter, const TokenVerifier& verifier,
    Metrics& metrics, const Clock& clock, int max_streams) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<ServiceEdge> edge,
      ServiceEdge::Create(v1::RegistryService::service_full_name(), verifier, metrics, clock));
  return std::unique_ptr<RegistryEdge>(new RegistryEdge(
      std::make_unique<Impl>(registry, blobs, meter, std::move(edge), metrics, max_streams)));
}

RegistryEdge::RegistryEdge(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RegistryEdge::~RegistryEdge() = default;

grpc::Service* RegistryEdge::service() const { return impl_.get(); }

}  // namespace slipway::registry
