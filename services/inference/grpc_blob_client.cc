#include "services/inference/grpc_blob_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "common/grpc/status.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway::worker {

namespace v1 = slipway::registry::v1;

struct GrpcBlobClient::Impl {
  std::unique_ptr<v1::RegistryService::Stub> stub;
};

absl::StatusOr<std::unique_ptr<GrpcBlobClient>> GrpcBlobClient::Create(
    const ChannelOptions& registry, const Clock& clock) {
  ASSIGN_OR_RETURN(auto channel, OpenChannel(registry));
  auto impl = std::make_unique<Impl>();
  impl->stub = v1::RegistryService::NewStub(channel);
  return std::unique_ptr<GrpcBlobClient>(new GrpcBlobClient(std::move(impl), clock));
}

GrpcBlobClient::GrpcBlobClient(std::unique_ptr<Impl> impl, const Clock& clock)
    : impl_(std::move(impl)), clock_(clock) {}

GrpcBlobClient::~GrpcBlobClient() = default;

absl::Status GrpcBlobClient::Download(const BlobName& name, const std::string& token,
                                      absl::FunctionRef<absl::Status(std::string_view)> sink) {
  grpc::ClientContext context;
  PrepareContext(context, {.token = token, .deadline = clock_.Now() + kDownloadTimeout});
  v1::DownloadBlobRequest request;
  request.set_name(name.ToString());
  const auto reader = impl_->stub->DownloadBlob(&context, request);
  google::api::HttpBody piece;
  while (reader->Read(&piece)) {
    if (const absl::Status taken = sink(piece.data()); !taken.ok()) {
      context.TryCancel();
      // What it says is that we cancelled.
      (void)reader->Finish();
      return taken;
    }
  }
  return FromGrpcStatus(reader->Finish());
}

}  // namespace slipway::worker
