#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_REGISTRY_SERVICE_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_REGISTRY_SERVICE_H_

#include <limits>
#include <memory>
#include <string>

#include "common/grpc/edge.h"
#include "common/grpc/server.h"
#include "slipway/registry/v1/registry.grpc.pb.h"
#include "tests/support/test_trust.h"
#include "tests/support/training/fake_model_registry.h"

namespace slipway::training {

/// A FakeModelRegistry that answers gRPC, with the real edge: tokens are checked. Methods that
/// training does not call are not there.
class FakeRegistryService final : public registry::v1::RegistryService::Service {
 public:
  FakeRegistryService(FakeModelRegistry& models, const TestTrust& trust, const std::string& address)
      : models_(models), verifier_(trust.Verifier(ServiceId::kRegistry)) {
    auto edge = ServiceEdge::Create(registry::v1::RegistryService::service_full_name(), *verifier_,
                                    metrics_, Clock::Real());
    EXPECT_TRUE(edge.ok()) << edge.status();
    edge_ = *std::move(edge);
    GrpcServerOptions options;
    options.address = address;
    auto server = GrpcServer::Start(options, {this});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetServing(true);
  }

  grpc::Status GetDataset(grpc::ServerContext* ctx, const registry::v1::GetDatasetRequest* request,
                          registry::v1::Dataset* out) override {
    return edge_->Call(*ctx, "GetDataset", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const auto name, DatasetName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*out, models_.GetDataset(call.principal, name, call.deadline));
      return absl::OkStatus();
    });
  }

  grpc::Status DownloadBlob(grpc::ServerContext* ctx,
                            const registry::v1::DownloadBlobRequest* request,
                            grpc::ServerWriter<google::api::HttpBody>* writer) override {
    return edge_->Call(*ctx, "DownloadBlob", [&](const CallContext& call) -> absl::Status {
      const std::string digest = request->name().substr(request->name().rfind('/') + 1);
      constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
      ASSIGN_OR_RETURN(
          const std::string content,
          models_.ReadBlob(call.principal, digest, request->offset_bytes(), kAll, call.deadline));
      google::api::HttpBody body;
      body.set_data(content);
      writer->Write(body);
      return absl::OkStatus();
    });
  }

  grpc::Status UploadBlob(grpc::ServerContext* ctx,
                          grpc::ServerReader<registry::v1::UploadBlobRequest>* reader,
                          registry::v1::Blob* out) override {
    return edge_->Call(*ctx, "UploadBlob", [&](const CallContext& call) -> absl::Status {
      const auto content = [&](ModelRegistry::PieceSink sink) -> absl::Status {
        for (registry::v1::UploadBlobRequest piece; reader->Read(&piece);) {
          RETURN_IF_ERROR(sink(piece.content().data()));
        }
        return ctx->IsCancelled() ? absl::CancelledError("it broke off") : absl::OkStatus();
      };
      ASSIGN_OR_RETURN(*out, models_.StoreBlob(call.principal, content, call.deadline));
      return absl::OkStatus();
    });
  }

  grpc::Status CreateDataset(grpc::ServerContext* ctx,
                             const registry::v1::CreateDatasetRequest* request,
                             registry::v1::Dataset* out) override {
    return edge_->Call(*ctx, "CreateDataset", [&](const CallContext& call) -> absl::Status {
      const DatasetName name{call.principal.tenant, request->dataset_id()};
      ASSIGN_OR_RETURN(
          *out, models_.CreateDataset(call.principal, name, request->dataset(), call.deadline));
      return absl::OkStatus();
    });
  }

  grpc::Status GetModelVersion(grpc::ServerContext* ctx,
                               const registry::v1::GetModelVersionRequest* request,
                               registry::v1::ModelVersion* out) override {
    return edge_->Call(*ctx, "GetModelVersion", [&](const CallContext& call) -> absl::Status {
      if (const auto version = VersionName::Parse("name", request->name()); version.ok()) {
        ASSIGN_OR_RETURN(*out, models_.GetVersion(call.principal, *version, call.deadline));
        return absl::OkStatus();
      }
      ASSIGN_OR_RETURN(const auto alias, AliasName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*out, models_.GetVersion(call.principal, alias, call.deadline));
      return absl::OkStatus();
    });
  }

  grpc::Status CreateModelVersion(grpc::ServerContext* ctx,
                                  const registry::v1::CreateModelVersionRequest* request,
                                  registry::v1::ModelVersion* out) override {
    return edge_->Call(*ctx, "CreateModelVersion", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const auto model, ModelName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(const std::string name,
                       models_.CreateVersion(call.principal, model, request->model_version(),
                                             request->request_id(), call.deadline));
      *out = request->model_version();
      out->set_name(name);
      return absl::OkStatus();
    });
  }

  grpc::Status SetAlias(grpc::ServerContext* ctx, const registry::v1::SetAliasRequest* request,
                        registry::v1::Alias* out) override {
    return edge_->Call(*ctx, "SetAlias", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const auto alias, AliasName::Parse("alias.name", request->alias().name()));
      *out = request->alias();
      return models_.SetAlias(call.principal, alias, request->alias().version(), call.deadline);
    });
  }

 private:
  FakeModelRegistry& models_;
  const std::unique_ptr<TokenVerifier> verifier_;
  Metrics metrics_{"registry"};
  std::unique_ptr<ServiceEdge> edge_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_REGISTRY_SERVICE_H_
