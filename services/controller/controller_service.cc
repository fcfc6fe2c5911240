#include "services/controller/controller_service.h"

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "slipway/controller/v1/controller.grpc.pb.h"

namespace slipway::controller {
namespace {

// How soon a watcher that has gone is noticed.
constexpr absl::Duration kWatchTick = absl::Milliseconds(500);

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t micros = absl::ToUnixMicros(time);
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
}

v1::Deployment::State ToProto(DeploymentSummary::State state) {
  switch (state) {
    case DeploymentSummary::State::kPending:
      return v1::Deployment::PENDING;
    case DeploymentSummary::State::kLoading:
      return v1::Deployment::LOADING;
    case DeploymentSummary::State::kReady:
      return v1::Deployment::READY;
    case DeploymentSummary::State::kFailed:
      return v1::Deployment::FAILED;
    case DeploymentSummary::State::kDeleting:
      return v1::Deployment::DELETING;
  }
  return v1::Deployment::STATE_UNSPECIFIED;
}

v1::Deployment ToProto(const DeploymentView& view) {
  const Deployment& deployment = view.deployment;
  v1::Deployment out;
  out.set_name(deployment.name.ToString());
  out.set_model_version(deployment.model_version.ToString());
  out.set_pool(deployment.pool);
  out.set_replicas(deployment.replicas);
  out.set_state(ToProto(view.summary.state));
  if (view.summary.serving) out.set_serving_version(view.summary.serving->ToString());
  out.set_error(view.summary.error);
  SetTime(deployment.create_time, *out.mutable_create_time());
  SetTime(deployment.update_time, *out.mutable_update_time());
  out.set_generation(deployment.generation);
  out.set_ready_replicas(view.summary.ready_replicas);
  *out.mutable_runtime() = deployment.runtime;
  if (view.summary.serving) *out.mutable_facts() = view.summary.facts;
  return out;
}

DeploymentRequest FromProto(const v1::Deployment& deployment) {
  DeploymentRequest request = {.model_version = deployment.model_version(),
                               .pool = deployment.pool(),
                               .replicas = deployment.replicas()};
  if (deployment.has_runtime()) request.runtime = deployment.runtime();
  return request;
}

}  // namespace

class ControllerService::Impl final : public v1::ControllerService::Service {
 public:
  Impl(Controller& controller, RouteBoard& board, std::unique_ptr<ServiceEdge> edge)
      : controller_(controller), board_(board), edge_(std::move(edge)) {}

  grpc::Status CreateDeployment(grpc::ServerContext* context,
                                const v1::CreateDeploymentRequest* request,
                                v1::Deployment* out) override {
    return edge_->Call(*context, "CreateDeployment", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(
          const DeploymentView view,
          controller_.Create(call.principal, request->parent(), request->deployment_id(),
                             FromProto(request->deployment()), request->request_id()));
      *out = ToProto(view);
      return absl::OkStatus();
    });
  }

  grpc::Status GetDeployment(grpc::ServerContext* context, const v1::GetDeploymentRequest* request,
                             v1::Deployment* out) override {
    return edge_->Call(*context, "GetDeployment", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DeploymentName name, DeploymentName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(const DeploymentView view, controller_.Get(call.principal, name));
      *out = ToProto(view);
      return absl::OkStatus();
    });
  }

  grpc::Status ListDeployments(grpc::ServerContext* context,
                               const v1::ListDeploymentsRequest* request,
                               v1::ListDeploymentsResponse* out) override {
    return edge_->Call(*context, "ListDeployments", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DeploymentPage page,
                       controller_.List(call.principal, request->parent(), request->page_size(),
                                        request->page_token()));
      for (const DeploymentView& view : page.deployments) *out->add_deployments() = ToProto(view);
      out->set_next_page_token(page.next_page_token);
      return absl::OkStatus();
    });
  }

  grpc::Status UpdateDeployment(grpc::ServerContext* context,
                                const v1::UpdateDeploymentRequest* request,
                                v1::Deployment* out) override {
    return edge_->Call(*context, "UpdateDeployment", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DeploymentName name,
                       DeploymentName::Parse("deployment.name", request->deployment().name()));
      ASSIGN_OR_RETURN(const DeploymentView view,
                       controller_.Update(call.principal, name, FromProto(request->deployment())));
      *out = ToProto(view);
      return absl::OkStatus();
    });
  }

  grpc::Status DeleteDeployment(grpc::ServerContext* context,
                                const v1::DeleteDeploymentRequest* request,
                                google::protobuf::Empty*) override {
    return edge_->Call(*context, "DeleteDeployment", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DeploymentName name, DeploymentName::Parse("name", request->name()));
      return controller_.Delete(call.principal, name);
    });
  }

  grpc::Status WatchRoutes(grpc::ServerContext* context, const v1::WatchRoutesRequest*,
                           grpc::ServerWriter<v1::RouteTable>* writer) override {
    return edge_->Call(*context, "WatchRoutes", [&](const CallContext&) -> absl::Status {
      int64_t seen = -1;
      while (!context->IsCancelled()) {
        const auto table = board_.WaitForNewer(seen, kWatchTick);
        if (board_.closed()) return absl::UnavailableError("the controller is stopping");
        if (table == nullptr) continue;
        if (!writer->Write(*table)) break;
        seen = table->generation();
      }
      return absl::CancelledError("the watcher is gone");
    });
  }

 private:
  Controller& controller_;
  RouteBoard& board_;
  const std::unique_ptr<ServiceEdge> edge_;
};

absl::StatusOr<std::unique_ptr<ControllerService>> ControllerService::Create(
    Controller& controller, RouteBoard& board, const TokenVerifier& verifier, Metrics& metrics,
    const Clock& clock) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<ServiceEdge> edge,
      ServiceEdge::Create("slipway.controller.v1.ControllerService", verifier, metrics, clock));
  return std::unique_ptr<ControllerService>(
      new ControllerService(std::make_unique<Impl>(controller, board, std::move(edge))));
}

ControllerService::ControllerService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControllerService::~ControllerService() = default;
grpc::Service* ControllerService::service() { return impl_.get(); }

}  // namespace slipway::controller
