#include "services/inference/inference_service.h"

#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>
#include <utility>

#include "common/config/version.h"
#include "common/grpc/status.h"
#include "inference/open_inference.grpc.pb.h"
#include "services/inference/infer_stream_service.h"
#include "services/inference/inference_call.h"
#include "services/inference/model_codec.h"

namespace slipway::worker {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

// A unary ModelInfer call that waits for its answer.
class UnaryCaller final : public InferenceCaller {
 public:
  UnaryCaller(ServiceEdge& edge, Context& context, Reactor& reactor, CallContext call)
      : edge_(edge), context_(context), reactor_(reactor), call_(std::move(call)) {}

  const CallContext& call() const { return call_; }
  bool Gone() const override { return context_.IsCancelled(); }
  void Answer(const absl::Status& status) override { reactor_.Finish(edge_.Finish(call_, status)); }

 private:
  ServiceEdge& edge_;
  Context& context_;
  Reactor& reactor_;
  const CallContext call_;
};

// A call's two messages, most of what they hold and who waits for them, in one piece of memory.
class InferMessages final
    : public grpc::MessageHolder<inference::ModelInferRequest, inference::ModelInferResponse> {
 public:
  InferMessages() : arena_(block_, sizeof(block_)) {
    set_request(google::protobuf::Arena::CreateMessage<inference::ModelInferRequest>(&arena_));
    set_response(google::protobuf::Arena::CreateMessage<inference::ModelInferResponse>(&arena_));
  }
  void Release() override { delete this; }

  // Set where the call is admitted.
  std::optional<UnaryCaller> caller;

 private:
  alignas(16) char block_[2048];
  google::protobuf::Arena arena_;
};

class InferAllocator final
    : public grpc::MessageAllocator<inference::ModelInferRequest, inference::ModelInferResponse> {
 public:
  grpc::MessageHolder<inference::ModelInferRequest, inference::ModelInferResponse>*
  AllocateMessages() override {
    return new InferMessages;
  }
};

}  // namespace

class InferenceService::Impl final : public inference::GRPCInferenceService::CallbackService {
 public:
  Impl(LoadedModels& models, Batcher& batcher, SharedMemory* memory, const std::atomic<bool>& ready,
       const Clock& clock, std::unique_ptr<ServiceEdge> edge)
      : models_(models),
        batcher_(batcher),
        memory_(memory),
        ready_(ready),
        clock_(clock),
        edge_(std::move(edge)),
        infer_(edge_->MethodIndex("ModelInfer")) {
    SetMessageAllocatorFor_ModelInfer(&allocator_);
  }

  Reactor* ServerLive(Context* context, const inference::ServerLiveRequest*,
                      inference::ServerLiveResponse* response) override {
    return Answer(*context, "ServerLive", [&](const CallContext&) -> absl::Status {
      response->set_live(true);
      return absl::OkStatus();
    });
  }

  Reactor* ServerReady(Context* context, const inference::ServerReadyRequest*,
                       inference::ServerReadyResponse* response) override {
    return Answer(*context, "ServerReady", [&](const CallContext&) -> absl::Status {
      response->set_ready(ready_);
      return absl::OkStatus();
    });
  }

  Reactor* ModelReady(Context* context, const inference::ModelReadyRequest* request,
                      inference::ModelReadyResponse* response) override {
    return Answer(*context, "ModelReady", [&](const CallContext& call) -> absl::Status {
      const absl::StatusOr<ModelHandle> model =
          models_.Find(call.principal, request->name(), request->version());
      if (!model.ok() && !absl::IsUnavailable(model.status())) return model.status();
      response->set_ready(model.ok());
      return absl::OkStatus();
    });
  }

  Reactor* ServerMetadata(Context* context, const inference::ServerMetadataRequest*,
                          inference::ServerMetadataResponse* response) override {
    return Answer(*context, "ServerMetadata", [&](const CallContext&) -> absl::Status {
      response->set_name("slipway");
      response->set_version(std::string(Version()));
      return absl::OkStatus();
    });
  }

  Reactor* ModelMetadata(Context* context, const inference::ModelMetadataRequest* request,
                         inference::ModelMetadataResponse* response) override {
    return Answer(*context, "ModelMetadata", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelHandle model,
                       models_.Find(call.principal, request->name(), request->version()));
      EncodeMetadata(*model, *response);
      return absl::OkStatus();
    });
  }

  Reactor* ModelConfig(Context* context, const inference::ModelConfigRequest* request,
                       inference::ModelConfigResponse* response) override {
    return Answer(*context, "ModelConfig", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelHandle model,
                       models_.Find(call.principal, request->name(), request->version()));
      EncodeConfig(*model, *response->mutable_config());
      return absl::OkStatus();
    });
  }

  Reactor* ModelStatistics(Context* context, const inference::ModelStatisticsRequest* request,
                           inference::ModelStatisticsResponse* response) override {
    return Answer(*context, "ModelStatistics", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<ModelHandle> found,
                       models_.FindAll(call.principal, request->name(), request->version()));
      for (const ModelHandle& model : found) EncodeStatistics(*model, *response->add_model_stats());
      return absl::OkStatus();
    });
  }

  Reactor* RepositoryIndex(Context* context, const inference::RepositoryIndexRequest* request,
                           inference::RepositoryIndexResponse* response) override {
    return Answer(*context, "RepositoryIndex", [&](const CallContext& call) -> absl::Status {
      for (const ModelReport& report : models_.List()) {
        if (!call.principal.MayAccess(report.deployment.tenant)) continue;
        if (request->ready() && report.state != ModelReport::State::kReady) continue;
        EncodeIndex(report, *response->add_models());
      }
      return absl::OkStatus();
    });
  }

  Reactor* RepositoryModelLoad(Context* context, const inference::RepositoryModelLoadRequest*,
                               inference::RepositoryModelLoadResponse*) override {
    return Answer(*context, "RepositoryModelLoad", [](const CallContext&) { return NotLoading(); });
  }

  Reactor* RepositoryModelUnload(Context* context, const inference::RepositoryModelUnloadRequest*,
                                 inference::RepositoryModelUnloadResponse*) override {
    return Answer(*context, "RepositoryModelUnload",
                  [](const CallContext&) { return NotLoading(); });
  }

  Reactor* SystemSharedMemoryStatus(
      Context* context, const inference::SystemSharedMemoryStatusRequest* request,
      inference::SystemSharedMemoryStatusResponse* response) override {
    return Answer(*context, "SystemSharedMemoryStatus", [&](const CallContext& call) {
      return WithMemory([&](SharedMemory& memory) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<MemoryRegion> regions,
                         memory.List(call.principal.tenant, request->name()));
        for (const MemoryRegion& region : regions) {
          auto& out = (*response->mutable_regions())[region.name];
          out.set_name(region.name);
          out.set_key(region.key);
          out.set_offset(region.offset);
          out.set_byte_size(region.size);
        }
        return absl::OkStatus();
      });
    });
  }

  Reactor* SystemSharedMemoryRegister(Context* context,
                                      const inference::SystemSharedMemoryRegisterRequest* request,
                                      inference::SystemSharedMemoryRegisterResponse*) override {
    return Answer(*context, "SystemSharedMemoryRegister", [&](const CallContext& call) {
      return WithMemory([&](SharedMemory& memory) {
        return memory.Register(call.principal.tenant, {.name = request->name(),
                                                       .key = request->key(),
                                                       .offset = request->offset(),
                                                       .size = request->byte_size()});
      });
    });
  }

  Reactor* SystemSharedMemoryUnregister(
      Context* context, const inference::SystemSharedMemoryUnregisterRequest* request,
      inference::SystemSharedMemoryUnregisterResponse*) override {
    return Answer(*context, "SystemSharedMemoryUnregister", [&](const CallContext& call) {
      return WithMemory([&](SharedMemory& memory) {
        memory.Unregister(call.principal.tenant, request->name());
        return absl::OkStatus();
      });
    });
  }

  Reactor* ModelInfer(Context* context, const inference::ModelInferRequest* request,
                      inference::ModelInferResponse* response) override {
    Reactor* const reactor = context->DefaultReactor();
    absl::StatusOr<CallContext> call = edge_->Admit(*context, infer_);
    if (!call.ok()) {
      reactor->Finish(ToGrpcStatus(call.status()));
      return reactor;
    }
    auto& messages = static_cast<InferMessages&>(*context->GetRpcAllocatorState());
    UnaryCaller& caller = messages.caller.emplace(*edge_, *context, *reactor, *std::move(call));
    Infer({.principal = caller.call().principal,
           .deadline = caller.call().deadline,
           .start = caller.call().start,
           .message = *request,
           .response = *response},
          caller);
    return reactor;
  }

  grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
  ModelStreamInfer(Context* context) override {
    return NewInferStream(*context, *edge_, clock_,
                          [this](const InferenceRequest& request, InferenceCaller& caller) {
                            Infer(request, caller);
                          });
  }

 private:
  template <class Handler>
  Reactor* Answer(Context& context, std::string_view method, Handler handler) {
    Reactor* const reactor = context.DefaultReactor();
    reactor->Finish(edge_->Call(context, method, handler));
    return reactor;
  }

  void Infer(const InferenceRequest& request, InferenceCaller& caller) {
    auto call = std::make_unique<InferenceCall>(memory_, clock_, request, caller);
    if (const absl::Status status = call->Prepare(models_); !status.ok()) {
      call->Finish(status);
      return;
    }
    InferenceCall::Submit(std::move(call), batcher_, models_);
  }

  static absl::Status NotLoading() {
    return absl::UnimplementedError("models are loaded and unloaded by the controller");
  }

  template <class Use>
  absl::Status WithMemory(Use use) {
    if (memory_ == nullptr) return absl::UnimplementedError("shared memory is not offered here");
    return use(*memory_);
  }

  LoadedModels& models_;
  Batcher& batcher_;
  SharedMemory* const memory_;
  const std::atomic<bool>& ready_;
  const Clock& clock_;
  const std::unique_ptr<ServiceEdge> edge_;
  const int infer_;
  InferAllocator allocator_;
};

absl::StatusOr<std::unique_ptr<InferenceService>> InferenceService::Create(
    LoadedModels& models, Batcher& batcher, SharedMemory* memory, const std::atomic<bool>& ready,
    const TokenVerifier& verifier, Metrics& metrics, const Clock& clock) {
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
      std::make_unique<Impl>(models, batcher, memory, ready, clock, std::move(edge))));
}

InferenceService::InferenceService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
InferenceService::~InferenceService() = default;
grpc::Service* InferenceService::service() { return impl_.get(); }

}  // namespace slipway::worker
