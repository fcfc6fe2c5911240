#ifndef SLIPWAY_TESTS_INTEGRATION_SERVICES_REGISTRY_REGISTRY_CLIENT_H_
#define SLIPWAY_TESTS_INTEGRATION_SERVICES_REGISTRY_REGISTRY_CLIENT_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/crypto/hash.h"
#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/names/names.h"
#include "common/time/clock.h"
#include "grpcpp/grpcpp.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway::registry {

/// Calls a registry over gRPC with one token. Any thread.
class RegistryClient {
 public:
  RegistryClient(const std::string& address, std::string token) : token_(std::move(token)) {
    auto channel = OpenChannel({.address = address});
    channel_ = *std::move(channel);
    stub_ = v1::RegistryService::NewStub(channel_);
  }

  v1::RegistryService::Stub& stub() { return *stub_; }

  std::unique_ptr<grpc::ClientContext> Context() const {
    auto context = std::make_unique<grpc::ClientContext>();
    // A registry that was just started may not listen yet.
    PrepareContext(*context, {.token = token_,
                              .request_id = "",
                              .deadline = Clock::Real().Now() + absl::Seconds(60),
                              .wait_for_ready = wait_for_ready_});
    return context;
  }
  void FailAtOnce() { wait_for_ready_ = false; }

  template <class Request, class Answer>
  absl::StatusOr<Answer> Call(grpc::Status (v1::RegistryService::Stub::*method)(
                                  grpc::ClientContext*, const Request&, Answer*),
                              const Request& request) {
    const auto context = Context();
    Answer answer;
    RETURN_IF_ERROR(FromGrpcStatus((stub_.get()->*method)(context.get(), request, &answer)));
    return answer;
  }

  absl::StatusOr<v1::Blob> Upload(const std::string& tenant, std::string_view bytes,
                                  const std::string& digest = "", size_t chunk = 64 << 10) {
    const auto context = Context();
    v1::Blob blob;
    const auto writer = stub_->UploadBlob(context.get(), &blob);
    v1::UploadBlobRequest message;
    message.set_parent("tenants/" + tenant);
    message.set_digest(digest);
    do {
      message.mutable_content()->set_data(std::string(bytes.substr(0, chunk)));
      if (!writer->Write(message)) break;
      message.Clear();
      bytes.remove_prefix(std::min(chunk, bytes.size()));
    } while (!bytes.empty());
    writer->WritesDone();
    RETURN_IF_ERROR(FromGrpcStatus(writer->Finish()));
    return blob;
  }

  absl::StatusOr<std::string> Download(const std::string& name, int64_t offset = 0) {
    const auto context = Context();
    v1::DownloadBlobRequest request;
    request.set_name(name);
    request.set_offset_bytes(offset);
    const auto reader = stub_->DownloadBlob(context.get(), request);
    google::api::HttpBody body;
    std::string bytes;
    while (reader->Read(&body)) bytes += body.data();
    RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
    return bytes;
  }

  /// A version of one file, whose blob is there.
  absl::StatusOr<v1::ModelVersion> CreateVersion(const std::string& model, std::string_view bytes,
                                                 const std::string& request_id = "") {
    v1::CreateModelVersionRequest request;
    request.set_parent(model);
    request.set_request_id(request_id);
    auto& artifact = *request.mutable_model_version()->mutable_artifact();
    artifact.set_format("slipway");
    auto& file = *artifact.add_files();
    file.set_path("model.safetensors");
    file.set_digest("sha256:" + Sha256Hex(bytes));
    return Call(&v1::RegistryService::Stub::CreateModelVersion, request);
  }

 private:
  const std::string token_;
  bool wait_for_ready_ = true;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RegistryService::Stub> stub_;
};

inline std::string BlobNameOf(const std::string& tenant, std::string_view bytes) {
  return "tenants/" + tenant + "/blobs/sha256:" + Sha256Hex(bytes);
}

}  // namespace slipway::registry

#endif  // SLIPWAY_TESTS_INTEGRATION_SERVICES_REGISTRY_REGISTRY_CLIENT_H_
