#include "tests/support/serving/fake_registry.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/crypto/hash.h"
#include "common/grpc/edge.h"
#include "common/names/names.h"
#include "slipway/registry/v1/registry.grpc.pb.h"

namespace slipway {
namespace {

namespace v1 = slipway::registry::v1;
constexpr size_t kPieceBytes = 64 << 10;

}  // namespace

class FakeRegistryServer::Service final : public v1::RegistryService::Service {
 public:
  explicit Service(const TestTrust& trust)
      : verifier_(trust.Verifier(ServiceId::kRegistry)),
        edge_(*ServiceEdge::Create("slipway.registry.v1.RegistryService", *verifier_, metrics_,
                                   Clock::Real())) {}

  grpc::Status GetModelVersion(grpc::ServerContext* context,
                               const v1::GetModelVersionRequest* request,
                               v1::ModelVersion* response) override {
    return edge_->Call(*context, "GetModelVersion", [&](const CallContext& call) -> absl::Status {
      MutexLock lock(mutex_);
      const auto version = versions_.find(request->name());
      const bool mine =
          version != versions_.end() &&
          request->name().starts_with("tenants/" + call.principal.tenant + "/models/");
      if (!mine) return NotFound(request->name());
      *response = version->second;
      return absl::OkStatus();
    });
  }

  grpc::Status DownloadBlob(grpc::ServerContext* context, const v1::DownloadBlobRequest* request,
                            grpc::ServerWriter<google::api::HttpBody>* writer) override {
    return edge_->Call(*context, "DownloadBlob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const BlobName name, BlobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(const std::string bytes, Read(call.principal, name));
      for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
        google::api::HttpBody piece;
        piece.set_data(bytes.substr(at, kPieceBytes));
        if (!writer->Write(piece)) return absl::CancelledError("the reader is gone");
      }
      return absl::OkStatus();
    });
  }

  v1::ModelVersion Add(const std::string& name, const TestArtifact& artifact) {
    v1::ModelVersion version;
    version.set_name(name);
    version.set_origin(v1::ModelVersion::TRAINED);
    version.mutable_artifact()->set_format(artifact.format);
    *version.mutable_signature() = artifact.signature;
    MutexLock lock(mutex_);
    for (const auto& [path, bytes] :
         {std::pair(std::string("architecture.json"), artifact.description),
          std::pair(artifact.weights_file, artifact.weights)}) {
      v1::File& file = *version.mutable_artifact()->add_files();
      file.set_path(path);
      file.set_digest("sha256:" + Sha256Hex(bytes));
      file.set_size_bytes(static_cast<int64_t>(bytes.size()));
      Blob& blob = blobs_[file.digest()];
      blob.bytes = bytes;
      blob.versions.push_back(name);
    }
    versions_[name] = version;
    return version;
  }
  void PutPipeline(const std::string& name, const std::vector<std::string>& steps) {
    v1::ModelVersion version;
    version.set_name(name);
    version.set_origin(v1::ModelVersion::TRAINED);
    version.mutable_artifact()->set_format("pipeline");
    for (const std::string& step : steps) {
      version.mutable_pipeline()->add_steps()->set_model_version(step);
    }
    MutexLock lock(mutex_);
    versions_[name] = version;
  }
  void PointAlias(const std::string& alias, const std::string& version) {
    MutexLock lock(mutex_);
    versions_[alias] = versions_.at(version);
  }
  void Spoil(const std::string& digest, const std::string& bytes) {
    MutexLock lock(mutex_);
    blobs_.at(digest).bytes = bytes;
  }
  int downloads() const {
    MutexLock lock(mutex_);
    return downloads_;
  }

 private:
  struct Blob {
    std::string bytes;
    // That have it as a file.
    std::vector<std::string> versions;
  };

  absl::StatusOr<std::string> Read(const Principal& who, const BlobName& name) {
    MutexLock lock(mutex_);
    ++downloads_;
    const auto blob = blobs_.find(name.digest.ToString());
    // A worker reads what its deployments' versions name, and its own tenant's.
    const bool mine = blob != blobs_.end() && who.tenant == name.tenant && !who.scopes.empty() &&
                      std::any_of(blob->second.versions.begin(), blob->second.versions.end(),
                                  [&](const std::string& version) { return who.InScope(version); });
    if (!mine) return NotFound(name.ToString());
    return blob->second.bytes;
  }

  const std::unique_ptr<TokenVerifier> verifier_;
  Metrics metrics_{"registry"};
  const std::unique_ptr<ServiceEdge> edge_;
  mutable Mutex mutex_;
  std::map<std::string, v1::ModelVersion> versions_ GUARDED_BY(mutex_);
  std::map<std::string, Blob> blobs_ GUARDED_BY(mutex_);
  int downloads_ GUARDED_BY(mutex_) = 0;
};

FakeRegistryServer::FakeRegistryServer(const TestTrust& trust)
    : service_(std::make_unique<Service>(trust)) {
  GrpcServerOptions options;
  options.address = "unix:" + (dir_ / "registry.sock");
  auto server = GrpcServer::Start(options, {service_.get()});
  if (!server.ok()) {
    std::fprintf(stderr, "fake registry: %s\n", server.status().ToString().c_str());
    std::abort();
  }
  server_ = *std::move(server);
}

FakeRegistryServer::~FakeRegistryServer() = default;

const std::string& FakeRegistryServer::address() const { return server_->address(); }

v1::ModelVersion FakeRegistryServer::AddVersion(const std::string& name,
                                                const TestArtifact& artifact) {
  return service_->Add(name, artifact);
}
void FakeRegistryServer::AddPipeline(const std::string& name,
                                     const std::vector<std::string>& steps) {
  service_->PutPipeline(name, steps);
}
void FakeRegistryServer::SetAlias(const std::string& alias, const std::string& version) {
  service_->PointAlias(alias, version);
}
void FakeRegistryServer::SpoilBlob(const std::string& digest, const std::string& bytes) {
  service_->Spoil(digest, bytes);
}
int FakeRegistryServer::downloads() const { return service_->downloads(); }

}  // namespace slipway
