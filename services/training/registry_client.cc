#include "services/training/registry_client.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/grpc/status.h"
#include "fmt/format.h"
#include "grpcpp/grpcpp.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway::training {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

class RegistryClient::Impl {
 public:
  Impl(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens)
      : stub_(registry::v1::RegistryService::NewStub(std::move(channel))), tokens_(tokens) {}

  // One call on behalf of `who`: `method` is one of the stub's.
  template <class Request, class Answer>
  absl::StatusOr<Answer> Call(const Principal& who, absl::Time deadline,
                              grpc::Status (registry::v1::RegistryService::Stub::*method)(
                                  grpc::ClientContext*, const Request&, Answer*),
                              const Request& request) {
    grpc::ClientContext context;
    RETURN_IF_ERROR(Prepare(who, deadline, context));
    Answer answer;
    RETURN_IF_ERROR(FromGrpcStatus((stub_.get()->*method)(&context, request, &answer)));
    return answer;
  }

  absl::StatusOr<std::string> Download(const Principal& who, absl::Time deadline,
                                       const registry::v1::DownloadBlobRequest& request,
                                       size_t bytes) {
    grpc::ClientContext context;
    RETURN_IF_ERROR(Prepare(who, deadline, context));
    const auto reader = stub_->DownloadBlob(&context, request);
    std::string content;
    google::api::HttpBody piece;
    while (content.size() < bytes && reader->Read(&piece)) content += piece.data();
    const bool enough = content.size() >= bytes;
    if (enough) context.TryCancel();
    const grpc::Status ended = reader->Finish();
    if (!enough) RETURN_IF_ERROR(FromGrpcStatus(ended));
    content.resize(std::min(content.size(), bytes));
    return content;
  }

  absl::StatusOr<registry::v1::Blob> Upload(const Principal& who, absl::Time deadline,
                                            const std::string& parent,
                                            absl::FunctionRef<absl::Status(PieceSink)> content) {
    grpc::ClientContext context;
    RETURN_IF_ERROR(Prepare(who, deadline, context));
    registry::v1::Blob blob;
    const auto writer = stub_->UploadBlob(&context, &blob);
    registry::v1::UploadBlobRequest request;
    request.set_parent(parent);
    // The first message says what comes, also where nothing does. A write that fails ends it, and
    // Finish() says why.
    bool open = writer->Write(request);
    request.Clear();
    const absl::Status read = content([&](std::string_view piece) -> absl::Status {
      for (; open && !piece.empty(); piece.remove_prefix(std::min(piece.size(), kPieceBytes))) {
        request.mutable_content()->set_data(std::string(piece.substr(0, kPieceBytes)));
        open = writer->Write(request);
      }
      return open ? absl::OkStatus() : absl::UnavailableError("the registry takes no more");
    });
    // Nothing is kept of a call that breaks off.
    if (open && !read.ok()) context.TryCancel();
    writer->WritesDone();
    const absl::Status ended = FromGrpcStatus(writer->Finish());
    if (open) RETURN_IF_ERROR(read);
    RETURN_IF_ERROR(ended);
    return blob;
  }

 private:
  absl::Status Prepare(const Principal& who, absl::Time deadline, grpc::ClientContext& context) {
    Principal caller = who;
    caller.caller = ServiceId::kTraining;
    caller.scopes.clear();
    ASSIGN_OR_RETURN(const std::string token, tokens_.Issue(caller, ServiceId::kRegistry));
    CallOptions options;
    options.token = token;
    options.deadline = deadline;
    PrepareContext(context, options);
    return absl::OkStatus();
  }

  const std::unique_ptr<registry::v1::RegistryService::Stub> stub_;
  TokenIssuer& tokens_;
};

using Stub = registry::v1::RegistryService::Stub;

absl::StatusOr<std::unique_ptr<RegistryClient>> RegistryClient::Create(
    const ChannelOptions& channel, TokenIssuer& tokens) {
  ASSIGN_OR_RETURN(auto opened, OpenChannel(channel));
  return std::unique_ptr<RegistryClient>(
      new RegistryClient(std::make_unique<Impl>(std::move(opened), tokens)));
}

RegistryClient::RegistryClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RegistryClient::~RegistryClient() = default;

absl::StatusOr<registry::v1::Dataset> RegistryClient::GetDataset(const Principal& who,
                                                                 const DatasetName& name,
                                                                 absl::Time deadline) {
  registry::v1::GetDatasetRequest request;
  request.set_name(name.ToString());
  return impl_->Call(who, deadline, &Stub::GetDataset, request);
}

absl::StatusOr<std::string> RegistryClient::ReadBlob(const Principal& who,
                                                     const std::string& digest, int64_t offset,
                                                     int64_t bytes, absl::Time deadline) {
  registry::v1::DownloadBlobRequest request;
  request.set_name(fmt::format("tenants/{}/blobs/{}", who.tenant, digest));
  request.set_offset_bytes(offset);
  return impl_->Download(who, deadline, request, static_cast<size_t>(bytes));
}

absl::StatusOr<registry::v1::Blob> RegistryClient::StoreBlob(
    const Principal& who, absl::FunctionRef<absl::Status(PieceSink)> content, absl::Time deadline) {
  return impl_->Upload(who, deadline, TenantName{who.tenant}.ToString(), content);
}

absl::StatusOr<registry::v1::Dataset> RegistryClient::CreateDataset(
    const Principal& who, const DatasetName& name, const registry::v1::Dataset& dataset,
    absl::Time deadline) {
  registry::v1::CreateDatasetRequest request;
  request.set_parent(TenantName{name.tenant}.ToString());
  request.set_dataset_id(name.id);
  *request.mutable_dataset() = dataset;
  return impl_->Call(who, deadline, &Stub::CreateDataset, request);
}

absl::StatusOr<registry::v1::ModelVersion> RegistryClient::GetVersion(const Principal& who,
                                                                      const VersionName& version,
                                                                      absl::Time deadline) {
  registry::v1::GetModelVersionRequest request;
  request.set_name(version.ToString());
  return impl_->Call(who, deadline, &Stub::GetModelVersion, request);
}

absl::StatusOr<registry::v1::ModelVersion> RegistryClient::GetVersion(const Principal& who,
                                                                      const AliasName& alias,
                                                                      absl::Time deadline) {
  registry::v1::GetModelVersionRequest request;
  request.set_name(alias.ToString());
  return impl_->Call(who, deadline, &Stub::GetModelVersion, request);
}

absl::StatusOr<std::string> RegistryClient::CreateVersion(const Principal& who,
                                                          const ModelName& model,
                                                          const registry::v1::ModelVersion& version,
                                                          const std::string& request_id,
                                                          absl::Time deadline) {
  registry::v1::CreateModelVersionRequest request;
  request.set_parent(model.ToString());
  *request.mutable_model_version() = version;
  request.set_request_id(request_id);
  ASSIGN_OR_RETURN(const auto made, impl_->Call(who, deadline, &Stub::CreateModelVersion, request));
  return made.name();
}

absl::Status RegistryClient::SetAlias(const Principal& who, const AliasName& alias,
                                      const std::string& version, absl::Time deadline) {
  registry::v1::SetAliasRequest request;
  request.mutable_alias()->set_name(alias.ToString());
  request.mutable_alias()->set_version(version);
  return impl_->Call(who, deadline, &Stub::SetAlias, request).status();
}

}  // namespace slipway::training
