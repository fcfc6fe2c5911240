#include "services/inference/inference_service.h"

#include <string>
#include <utility>
#include <vector>

#include "common/config/version.h"
#include "inference/open_inference.pb.h"
#include "services/inference/infer_messages.h"
#include "services/inference/infer_stream.h"
#include "services/inference/inference_call.h"
#include "services/inference/model_codec.h"

namespace slipway::worker {
namespace {

// A unary ModelInfer call that waits for its answer. Deletes itself at its end.
class UnaryCaller final : public InferenceCaller {
 public:
  UnaryCaller(std::unique_ptr<ServiceCall> call, http::grpc::Message message)
      : call_(std::move(call)), messages_(std::move(message)) {}

  const ServiceCall& call() const { return *call_; }
  InferMessages& messages() { return messages_; }

  bool Gone() const override { return call_->gone(); }
  void Answer(const absl::Status& status) override {
    if (status.ok()) {
      call_->Answer(InferFrame(messages_.answer()));
    } else {
      call_->Finish(status);
    }
    delete this;
  }

 private:
  const std::unique_ptr<ServiceCall> call_;
  InferMessages messages_;
};

absl::Status NotLoading() {
  return absl::UnimplementedError("models are loaded and unloaded by the controller");
}

}  // namespace

class InferenceService::Impl {
 public:
  Impl(LoadedModels& models, Batcher& batcher, SharedMemory* memory, tracing::Tracer* tracer,
       const std::atomic<bool>& ready, const Clock& clock, std::unique_ptr<ServiceEdge> edge)
      : models_(models),
        batcher_(batcher),
        memory_(memory),
        tracer_(tracer),
        ready_(ready),
        clock_(clock),
        service_(std::move(edge)) {
    service_.AddQuick("ServerLive", *this, &Impl::ServerLive);
    service_.AddQuick("ServerReady", *this, &Impl::ServerReady);
    service_.AddQuick("ModelReady", *this, &Impl::ModelReady);
    service_.AddQuick("ServerMetadata", *this, &Impl::ServerMetadata);
    service_.AddQuick("ModelMetadata", *this, &Impl::ModelMetadata);
    service_.AddQuick("ModelConfig", *this, &Impl::ModelConfig);
    service_.AddQuick("ModelStatistics", *this, &Impl::ModelStatistics);
    service_.AddQuick("RepositoryIndex", *this, &Impl::RepositoryIndex);
    service_.AddQuick("RepositoryModelLoad", *this, &Impl::RepositoryModelLoad);
    service_.AddQuick("RepositoryModelUnload", *this, &Impl::RepositoryModelUnload);
    service_.AddQuick("SystemSharedMemoryStatus", *this, &Impl::SystemSharedMemoryStatus);
    service_.AddQuick("SystemSharedMemoryRegister", *this, &Impl::SystemSharedMemoryRegister);
    service_.AddQuick("SystemSharedMemoryUnregister", *this, &Impl::SystemSharedMemoryUnregister);
    service_.Add("ModelInfer",
                 [this](std::unique_ptr<ServiceCall> call) { ModelInfer(std::move(call)); });
    service_.Add("ModelStreamInfer",
                 [this](std::unique_ptr<ServiceCall> call) { ModelStreamInfer(std::move(call)); });
  }

  Service& service() { return service_; }

 private:
  absl::Status ServerLive(const CallContext&, const inference::ServerLiveRequest&,
                          inference::ServerLiveResponse& response) {
    response.set_live(true);
    return absl::OkStatus();
  }

  absl::Status ServerReady(const CallContext&, const inference::ServerReadyRequest&,
                           inference::ServerReadyResponse& response) {
    response.set_ready(ready_);
    return absl::OkStatus();
  }

  absl::Status ModelReady(const CallContext& call, const inference::ModelReadyRequest& request,
                          inference::ModelReadyResponse& response) {
    const absl::StatusOr<ModelHandle> model =
        models_.Find(call.principal, request.name(), request.version());
    if (!model.ok() && !absl::IsUnavailable(model.status())) return model.status();
    response.set_ready(model.ok());
    return absl::OkStatus();
  }

  absl::Status ServerMetadata(const CallContext&, const inference::ServerMetadataRequest&,
                              inference::ServerMetadataResponse& response) {
    response.set_name("slipway");
    response.set_version(std::string(Version()));
    return absl::OkStatus();
  }

  absl::Status ModelMetadata(const CallContext& call,
                             const inference::ModelMetadataRequest& request,
                             inference::ModelMetadataResponse& response) {
    ASSIGN_OR_RETURN(const ModelHandle model,
                     models_.Find(call.principal, request.name(), request.version()));
    EncodeMetadata(*model, response);
    return absl::OkStatus();
  }

  absl::Status ModelConfig(const CallContext& call, const inference::ModelConfigRequest& request,
                           inference::ModelConfigResponse& response) {
    ASSIGN_OR_RETURN(const ModelHandle model,
                     models_.Find(call.principal, request.name(), request.version()));
    EncodeConfig(*model, *response.mutable_config());
    return absl::OkStatus();
  }

  absl::Status ModelStatistics(const CallContext& call,
                               const inference::ModelStatisticsRequest& request,
                               inference::ModelStatisticsResponse& response) {
    ASSIGN_OR_RETURN(const std::vector<ModelHandle> found,
                     models_.FindAll(call.principal, request.name(), request.version()));
    for (const ModelHandle& model : found) EncodeStatistics(*model, *response.add_model_stats());
    return absl::OkStatus();
  }

  absl::Status RepositoryIndex(const CallContext& call,
                               const inference::RepositoryIndexRequest& request,
                               inference::RepositoryIndexResponse& response) {
    for (const ModelReport& report : models_.List()) {
      if (!call.principal.MayAccess(report.deployment.tenant)) continue;
      if (request.ready() && report.state != ModelReport::State::kReady) continue;
      EncodeIndex(report, *response.add_models());
    }
    return absl::OkStatus();
  }

  absl::Status RepositoryModelLoad(const CallContext&, const inference::RepositoryModelLoadRequest&,
                                   inference::RepositoryModelLoadResponse&) {
    return NotLoading();
  }

  absl::Status RepositoryModelUnload(const CallContext&,
                                     const inference::RepositoryModelUnloadRequest&,
                                     inference::RepositoryModelUnloadResponse&) {
    return NotLoading();
  }

  absl::Status SystemSharedMemoryStatus(const CallContext& call,
                                        const inference::SystemSharedMemoryStatusRequest& request,
                                        inference::SystemSharedMemoryStatusResponse& response) {
    return WithMemory([&](SharedMemory& memory) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<MemoryRegion> regions,
                       memory.List(call.principal.tenant, request.name()));
      for (const MemoryRegion& region : regions) {
        auto& out = (*response.mutable_regions())[region.name];
        out.set_name(region.name);
        out.set_key(region.key);
        out.set_offset(region.offset);
        out.set_byte_size(region.size);
      }
      return absl::OkStatus();
    });
  }

  absl::Status SystemSharedMemoryRegister(
      const CallContext& call, const inference::SystemSharedMemoryRegisterRequest& request,
      inference::SystemSharedMemoryRegisterResponse&) {
    return WithMemory([&](SharedMemory& memory) {
      return memory.Register(call.principal.tenant, {.name = request.name(),
                                                     .key = request.key(),
                                                     .offset = request.offset(),
                                                     .size = request.byte_size()});
    });
  }

  absl::Status SystemSharedMemoryUnregister(
      const CallContext& call, const inference::SystemSharedMemoryUnregisterRequest& request,
      inference::SystemSharedMemoryUnregisterResponse&) {
    return WithMemory([&](SharedMemory& memory) {
      memory.Unregister(call.principal.tenant, request.name());
      return absl::OkStatus();
    });
  }

  void ModelInfer(std::unique_ptr<ServiceCall> call) {
    ServiceCall& begun = *call;
    begun.Read([this, call = std::move(call)](http::grpc::Message message) mutable {
      auto& caller = *new UnaryCaller(std::move(call), std::move(message));
      InferMessages& messages = caller.messages();
      if (const absl::Status parsed = messages.Parse(); !parsed.ok()) return caller.Answer(parsed);
      const CallContext& context = caller.call().context();
      Infer({.principal = context.principal,
             .deadline = context.deadline,
             .start = context.start,
             .metadata = caller.call().metadata(),
             .message = messages.request(),
             .contents = messages.contents(),
             .answer = messages.answer()},
            caller);
    });
  }

  void ModelStreamInfer(std::unique_ptr<ServiceCall> call) {
    RunInferStream(std::move(call), clock_,
                   [this](const InferenceRequest& request, InferenceCaller& caller) {
                     Infer(request, caller);
                   });
  }

  void Infer(const InferenceRequest& request, InferenceCaller& caller) {
    models_.readers().Join();
    auto call = std::make_unique<InferenceCall>(memory_, tracer_, clock_, request, caller);
    if (const absl::Status status = call->Prepare(models_); !status.ok()) {
      call->Finish(status);
      return;
    }
    InferenceCall::Submit(std::move(call), batcher_, models_);
  }

  template <class Use>
  absl::Status WithMemory(Use use) {
    if (memory_ == nullptr) return absl::UnimplementedError("shared memory is not offered here");
    return use(*memory_);
  }

  LoadedModels& models_;
  Batcher& batcher_;
  SharedMemory* const memory_;
  tracing::Tracer* const tracer_;
  const std::atomic<bool>& ready_;
  const Clock& clock_;
  Service service_;
};

absl::StatusOr<std::unique_ptr<InferenceService>> InferenceService::Create(
    LoadedModels& models, Batcher& batcher, SharedMemory* memory, tracing::Tracer* tracer,
    const std::atomic<bool>& ready, const TokenVerifier& verifier, Metrics& metrics,
    const Clock& clock) {
  // The proto is the protocol's own and declares no callers.
  std::vector<MethodPolicy> policies;
  for (const char* method :
       {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
        "ModelStreamInfer", "ModelConfig", "ModelStatistics", "RepositoryIndex",
        "RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"}) {
    policies.push_back({method, {ServiceId::kGateway}});
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ServiceEdge> edge,
                   ServiceEdge::CreateWithPolicies("inference.GRPCInferenceService", policies,
                                                   verifier, metrics, clock));
  return std::unique_ptr<InferenceService>(new InferenceService(
      std::make_unique<Impl>(models, batcher, memory, tracer, ready, clock, std::move(edge))));
}

InferenceService::InferenceService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
InferenceService::~InferenceService() = default;
Service& InferenceService::service() { return impl_->service(); }

}  // namespace slipway::worker
