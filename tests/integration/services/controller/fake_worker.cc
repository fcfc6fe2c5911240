#include "tests/integration/services/controller/fake_worker.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "common/grpc/edge.h"
#include "common/sync/mutex.h"
#include "slipway/worker/v1/worker.grpc.pb.h"

namespace slipway::controller {

namespace v1 = slipway::worker::v1;

class FakeWorkerServer::Service final : public v1::WorkerService::Service {
 public:
  explicit Service(const TestTrust& trust)
      : verifier_(trust.Verifier(ServiceId::kWorker)),
        // As the registry would look at what a worker shows.
        registry_verifier_(trust.Verifier(ServiceId::kRegistry)),
        edge_(*ServiceEdge::Create("slipway.worker.v1.WorkerService", *verifier_, metrics_,
                                   Clock::Real())) {}

  grpc::Status LoadModel(grpc::ServerContext* context, const v1::LoadModelRequest* request,
                         v1::LoadedModel* response) override {
    return edge_->Call(*context, "LoadModel", [&](const CallContext&) -> absl::Status {
      ASSIGN_OR_RETURN(const auto principal, registry_verifier_->Verify(request->token()));
      MutexLock lock(mutex_);
      const std::string& version = request->model_version().name();
      calls_.push_back("load " + version);
      principals_.push_back(*principal);
      v1::LoadedModel& model = models_[{request->deployment(), version}];
      model.set_deployment(request->deployment());
      model.set_model_version(version);
      model.set_state(failing_.contains(version) ? v1::LoadedModel::FAILED
                                                 : v1::LoadedModel::READY);
      model.set_error(failing_.contains(version) ? "model.safetensors: truncated" : "");
      *response = model;
      return absl::OkStatus();
    });
  }
  grpc::Status UnloadModel(grpc::ServerContext* context, const v1::UnloadModelRequest* request,
                           google::protobuf::Empty*) override {
    return edge_->Call(*context, "UnloadModel", [&](const CallContext&) -> absl::Status {
      MutexLock lock(mutex_);
      calls_.push_back("unload " + request->model_version());
      models_.erase({request->deployment(), request->model_version()});
      return absl::OkStatus();
    });
  }
  grpc::Status ListLoadedModels(grpc::ServerContext* context, const v1::ListLoadedModelsRequest*,
                                v1::ListLoadedModelsResponse* response) override {
    return edge_->Call(*context, "ListLoadedModels", [&](const CallContext&) -> absl::Status {
      MutexLock lock(mutex_);
      for (const auto& [key, model] : models_) *response->add_models() = model;
      return absl::OkStatus();
    });
  }

  void Fail(const std::string& version) {
    MutexLock lock(mutex_);
    failing_.insert(version);
  }
  std::vector<std::string> Calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }
  std::vector<Principal> Principals() const {
    MutexLock lock(mutex_);
    return principals_;
  }
  void Forget() {
    MutexLock lock(mutex_);
    models_.clear();
  }

 private:
  const std::unique_ptr<TokenVerifier> verifier_;
  const std::unique_ptr<TokenVerifier> registry_verifier_;
  Metrics metrics_{"worker"};
  const std::unique_ptr<ServiceEdge> edge_;
  mutable Mutex mutex_;
  std::map<std::pair<std::string, std::string>, v1::LoadedModel> models_ GUARDED_BY(mutex_);
  std::set<std::string> failing_ GUARDED_BY(mutex_);
  std::vector<std::string> calls_ GUARDED_BY(mutex_);
  std::vector<Principal> principals_ GUARDED_BY(mutex_);
};

FakeWorkerServer::FakeWorkerServer(const TestTrust& trust)
    : address_("unix:" + (dir_ / "worker.sock")), service_(std::make_unique<Service>(trust)) {
  Start();
}
FakeWorkerServer::~FakeWorkerServer() = default;

void FakeWorkerServer::Start() {
  GrpcServerOptions options;
  options.address = address_;
  auto server = GrpcServer::Start(options, {service_.get()});
  if (!server.ok()) {
    std::fprintf(stderr, "fake worker: %s\n", server.status().ToString().c_str());
    std::abort();
  }
  server_ = *std::move(server);
}

void FakeWorkerServer::Stop() {
  server_.reset();
  service_->Forget();
}

void FakeWorkerServer::FailLoadsOf(const std::string& version) { service_->Fail(version); }
std::vector<std::string> FakeWorkerServer::Calls() const { return service_->Calls(); }
std::vector<Principal> FakeWorkerServer::LoadPrincipals() const { return service_->Principals(); }

}  // namespace slipway::controller
