#include "services/gateway/batches/registry_files_client.h"

#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway::gateway {
namespace {

namespace rpc = registry::v1;

constexpr absl::Duration kTimeout = absl::Seconds(30);
// A file is read as fast as its lines are run, which may take for as long as a batch may.
constexpr absl::Duration kStreamTimeout = absl::Hours(1);

// A call's context with its token, in the order in which they are made.
class Call {
 public:
  absl::Status Prepare(TokenIssuer& tokens, const Principal& who, absl::Time deadline) {
    ASSIGN_OR_RETURN(const std::string token, tokens.Issue(who, ServiceId::kRegistry));
    PrepareContext(context_, {.token = token, .deadline = deadline});
    return absl::OkStatus();
  }
  grpc::ClientContext& context() { return context_; }

 private:
  grpc::ClientContext context_;
};

class Download final : public BatchFiles::Source {
 public:
  Download(const std::shared_ptr<grpc::Channel>& registry, std::unique_ptr<Call> call,
           const rpc::DownloadBlobRequest& request)
      : stub_(rpc::RegistryService::NewStub(registry)),
        call_(std::move(call)),
        stream_(stub_->DownloadBlob(&call_->context(), request)) {}

  ~Download() override {
    call_->context().TryCancel();
    if (!over_) (void)stream_->Finish();
  }

  absl::StatusOr<std::string> Read() override {
    google::api::HttpBody piece;
    while (!over_ && stream_->Read(&piece)) {
      if (!piece.data().empty()) return std::move(*piece.mutable_data());
    }
    if (!std::exchange(over_, true)) RETURN_IF_ERROR(FromGrpcStatus(stream_->Finish()));
    return std::string();
  }

 private:
  const std::unique_ptr<rpc::RegistryService::Stub> stub_;
  const std::unique_ptr<Call> call_;
  const std::unique_ptr<grpc::ClientReader<google::api::HttpBody>> stream_;
  bool over_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BatchFiles::Source>> RegistryFiles::Open(const Principal& who,
                                                                        const std::string& dataset,
                                                                        int64_t offset_bytes,
                                                                        int64_t max_bytes) {
  Call call;
  RETURN_IF_ERROR(call.Prepare(tokens_, who, clock_.Now() + kTimeout));
  const auto stub = rpc::RegistryService::NewStub(registry_);
  rpc::GetDatasetRequest get;
  get.set_name(dataset);
  rpc::Dataset found;
  RETURN_IF_ERROR(FromGrpcStatus(stub->GetDataset(&call.context(), get, &found)));
  if (found.purpose() != "batch" || found.files_size() != 1) {
    return absl::FailedPreconditionError(
        fmt::format("{} was not uploaded with the purpose \"batch\"", dataset));
  }
  if (found.size_bytes() > max_bytes) {
    return absl::FailedPreconditionError(fmt::format("{} has {} bytes, and a batch at most {}",
                                                     dataset, found.size_bytes(), max_bytes));
  }
  rpc::DownloadBlobRequest download;
  download.set_name(
      fmt::format("{}/blobs/{}", TenantName{who.tenant}.ToString(), found.files(0).digest()));
  download.set_offset_bytes(offset_bytes);
  auto streamed = std::make_unique<Call>();
  RETURN_IF_ERROR(streamed->Prepare(tokens_, who, clock_.Now() + kStreamTimeout));
  return std::make_unique<Download>(registry_, std::move(streamed), download);
}

absl::StatusOr<std::string> RegistryFiles::Write(
    const Principal& who, const NewFile& file,
    absl::FunctionRef<absl::StatusOr<std::string>()> next) {
  const std::string parent = TenantName{who.tenant}.ToString();
  const auto stub = rpc::RegistryService::NewStub(registry_);
  rpc::Blob blob;
  {
    Call call;
    RETURN_IF_ERROR(call.Prepare(tokens_, who, clock_.Now() + kStreamTimeout));
    const auto stream = stub->UploadBlob(&call.context(), &blob);
    rpc::UploadBlobRequest message;
    message.set_parent(parent);
    for (;;) {
      absl::StatusOr<std::string> piece = next();
      if (!piece.ok()) {
        call.context().TryCancel();
        (void)stream->Finish();
        return piece.status();
      }
      if (piece->empty()) break;
      message.mutable_content()->set_data(*std::move(piece));
      // What it does not take, Finish() explains.
      if (!stream->Write(message)) break;
      message.Clear();
    }
    stream->WritesDone();
    RETURN_IF_ERROR(FromGrpcStatus(stream->Finish()));
  }
  Call call;
  RETURN_IF_ERROR(call.Prepare(tokens_, who, clock_.Now() + kTimeout));
  rpc::CreateDatasetRequest create;
  create.set_parent(parent);
  create.set_dataset_id(file.id);
  create.set_request_id(file.id);
  create.mutable_dataset()->set_purpose("batch_output");
  rpc::File& content = *create.mutable_dataset()->add_files();
  content.set_path(file.filename);
  content.set_digest(blob.digest());
  rpc::Dataset made;
  RETURN_IF_ERROR(FromGrpcStatus(stub->CreateDataset(&call.context(), create, &made)));
  return made.name();
}

}  // namespace slipway::gateway
