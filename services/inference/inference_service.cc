#include "services/inference/inference_service.h"

#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>
#include <utility>

#include "common/config/version.h"
#include "common/grpc/status.h"
#include "inference/open_inference.grpc.pb.h"
#include "services/inference/infer_codec.h"

namespace slipway::worker {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

// One ModelInfer call, from its admission to its answer. Moves.
class Inference {
 public:
  Inference(const Clock& clock, ServiceEdge& edge, Context& context,
            const inference::ModelInferRequest& request, inference::ModelInferResponse& response,
            Reactor& reactor, CallContext call)
      : clock_(&clock),
        edge_(&edge),
        context_(&context),
        request_(&request),
        response_(&response),
        reactor_(&reactor),
        call_(std::move(call)) {}

  // Finds the model and checks the request: cheap, and a bad request never takes a slot.
  absl::Status Prepare(const LoadedModels& models) {
    ASSIGN_OR_RETURN(
        model_, models.Find(call_.principal, request_->model_name(), request_->model_version()));
    const Signature& signature = model_->model->signature();
    ASSIGN_OR_RETURN(inputs_, DecodeInputs(*request_, signature));
    ASSIGN_OR_RETURN(selected_, SelectOutputs(*request_, signature));
    return absl::OkStatus();
  }

  // On the thread that holds a slot.
  void Run() { Finish(Execute()); }

  // Answers. Nothing of the call may be touched afterwards.
  void Finish(const absl::Status& status) {
    if (model_ != nullptr && !status.ok()) model_->metrics.RecordFailure();
    reactor_->Finish(edge_->Finish(call_, status));
  }

 private:
  absl::Status Execute() {
    const absl::Duration start = clock_->Monotonic();
    // Whoever has gone or has waited too long costs no more.
    if (context_->IsCancelled()) return absl::CancelledError("the caller has gone");
    if (clock_->Now() >= call_.deadline) {
      return absl::DeadlineExceededError("the deadline passed before the model could run");
    }
    ASSIGN_OR_RETURN(const TensorBatch outputs, model_->model->Run(inputs_, call_.deadline));
    const absl::Duration compute = clock_->Monotonic() - start;
    EncodeResponse(*request_, *model_, outputs, selected_, compute, *response_);
    model_->metrics.RecordAnswer(start - call_.start, compute);
    return absl::OkStatus();
  }

  const Clock* clock_;
  ServiceEdge* edge_;
  Context* context_;
  const inference::ModelInferRequest* request_;
  inference::ModelInferResponse* response_;
  Reactor* reactor_;
  CallContext call_;
  ModelHandle model_;
  TensorBatch inputs_;
  std::vector<size_t> selected_;
};

// A call's two messages and most of what they hold, in one piece of memory.
class InferMessages final
    : public grpc::MessageHolder<inference::ModelInferRequest, inference::ModelInferResponse> {
 public:
  InferMessages() : arena_(block_, sizeof(block_)) {
    set_request(google::protobuf::Arena::CreateMessage<inference::ModelInferRequest>(&arena_));
    set_response(google::protobuf::Arena::CreateMessage<inference::ModelInferResponse>(&arena_));
  }
  void Release() override { delete this; }

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

// One that has to wait.
class WaitingInference final : public ExecutionSlots::Work {
 public:
  explicit WaitingInference(Inference inference) : inference_(std::move(inference)) {}
  void Run() override { inference_.Run(); }

 private:
  Inference inference_;
};

}  // namespace

class InferenceService::Impl final : public inference::GRPCInferenceService::CallbackService {
 public:
  Impl(LoadedModels& models, ExecutionSlots& slots, const std::atomic<bool>& ready,
       const Clock& clock, std::unique_ptr<ServiceEdge> edge)
      : models_(models),
        slots_(slots),
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

  Reactor* ModelInfer(Context* context, const inference::ModelInferRequest* request,
                      inference::ModelInferResponse* response) override {
    Reactor* const reactor = context->DefaultReactor();
    absl::StatusOr<CallContext> call = edge_->Admit(*context, infer_);
    if (!call.ok()) {
      reactor->Finish(ToGrpcStatus(call.status()));
      return reactor;
    }
    Inference inference(clock_, *edge_, *context, *request, *response, *reactor, *std::move(call));
    absl::Status status = inference.Prepare(models_);
    if (status.ok()) {
      status = slots_.RunOrWait(
          [&] { inference.Run(); },
          [&] { return std::make_unique<WaitingInference>(std::move(inference)); });
    }
    if (!status.ok()) inference.Finish(status);
    return reactor;
  }

 private:
  template <class Handler>
  Reactor* Answer(Context& context, std::string_view method, Handler handler) {
    Reactor* const reactor = context.DefaultReactor();
    reactor->Finish(edge_->Call(context, method, handler));
    return reactor;
  }

  LoadedModels& models_;
  ExecutionSlots& slots_;
  const std::atomic<bool>& ready_;
  const Clock& clock_;
  const std::unique_ptr<ServiceEdge> edge_;
  const int infer_;
  InferAllocator allocator_;
};

absl::StatusOr<std::unique_ptr<InferenceService>> InferenceService::Create(
    LoadedModels& models, ExecutionSlots& slots, const std::atomic<bool>& ready,
    const TokenVerifier& verifier, Metrics& metrics, const Clock& clock) {
  // The proto is the protocol's own and declares no callers.
  const std::vector<ServiceId> callers = {ServiceId::kGateway};
  std::vector<MethodPolicy> policies;
  for (const char* method : {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata",
                             "ModelMetadata", "ModelInfer"}) {
    policies.push_back({method, callers});
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ServiceEdge> edge,
                   ServiceEdge::CreateWithPolicies("inference.GRPCInferenceService", policies,
                                                   verifier, metrics, clock));
  return std::unique_ptr<InferenceService>(
      new InferenceService(std::make_unique<Impl>(models, slots, ready, clock, std::move(edge))));
}

InferenceService::InferenceService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
InferenceService::~InferenceService() = default;
grpc::Service* InferenceService::service() { return impl_.get(); }

}  // namespace slipway::worker
