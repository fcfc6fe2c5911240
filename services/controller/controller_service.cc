#include "services/controller/controller_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "slipway/controller/v1/controller.grpc.pb.h"

namespace slipway::controller {
namespace {

// How soon a watcher that has gone is noticed.
constexpr absl::Duration kWatchTick = absl::Milliseconds(500);
// Where a rollout that is no direct one says nothing.
constexpr absl::Duration kKeepPrevious = absl::Minutes(10);

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
    case DeploymentSummary::State::kRollingOut:
      return v1::Deployment::ROLLING_OUT;
    case DeploymentSummary::State::kRolledBack:
      return v1::Deployment::ROLLED_BACK;
    case DeploymentSummary::State::kUnloaded:
      return v1::Deployment::UNLOADED;
  }
  return v1::Deployment::STATE_UNSPECIFIED;
}

constexpr std::pair<Strategy, v1::RolloutPolicy::Strategy> kStrategies[] = {
    {Strategy::kDirect, v1::RolloutPolicy::DIRECT},
    {Strategy::kCanary, v1::RolloutPolicy::CANARY},
    {Strategy::kBlueGreen, v1::RolloutPolicy::BLUE_GREEN},
    {Strategy::kWeighted, v1::RolloutPolicy::WEIGHTED}};

constexpr std::pair<Trial::Phase, v1::Rollout::State> kPhases[] = {
    {Trial::Phase::kLoading, v1::Rollout::LOADING},
    {Trial::Phase::kRunning, v1::Rollout::RUNNING},
    {Trial::Phase::kPromoted, v1::Rollout::PROMOTED},
    {Trial::Phase::kRolledBack, v1::Rollout::ROLLED_BACK}};

void SetDuration(absl::Duration duration, google::protobuf::Duration& out) {
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
}

v1::RolloutPolicy ToProto(const RolloutPolicy& policy) {
  v1::RolloutPolicy out;
  for (const auto& [ours, theirs] : kStrategies) {
    if (ours == policy.strategy) out.set_strategy(theirs);
  }
  out.set_percent(policy.percent);
  out.mutable_steps()->Add(policy.steps.begin(), policy.steps.end());
  SetDuration(policy.step_time, *out.mutable_step_time());
  out.set_min_calls(policy.min_calls);
  out.set_max_error_increase(policy.max_error_increase);
  out.set_max_latency_ratio(policy.max_latency_ratio);
  SetDuration(policy.keep_previous, *out.mutable_keep_previous());
  return out;
}

RolloutPolicy FromProto(const v1::RolloutPolicy& in) {
  RolloutPolicy policy;
  for (const auto& [ours, theirs] : kStrategies) {
    if (theirs == in.strategy()) policy.strategy = ours;
  }
  policy.percent = in.percent();
  if (in.steps_size() > 0) policy.steps.assign(in.steps().begin(), in.steps().end());
  if (in.has_step_time()) policy.step_time = ToDuration(in.step_time());
  if (in.min_calls() != 0) policy.min_calls = in.min_calls();
  if (in.max_error_increase() != 0) policy.max_error_increase = in.max_error_increase();
  if (in.max_latency_ratio() != 0) policy.max_latency_ratio = in.max_latency_ratio();
  if (in.has_keep_previous()) {
    policy.keep_previous = ToDuration(in.keep_previous());
  } else if (policy.strategy != Strategy::kDirect) {
    policy.keep_previous = kKeepPrevious;
  }
  return policy;
}

void SetTraffic(const Traffic& traffic, v1::Rollout::VersionTraffic& out) {
  out.set_calls(traffic.calls());
  out.set_errors(traffic.errors);
  out.set_latency_p95_seconds(absl::ToDoubleSeconds(traffic.answered.Quantile(0.95)));
}

v1::Rollout ToProto(const Trial& trial, const DeploymentView& view) {
  v1::Rollout out;
  out.set_candidate_version(trial.candidate.ToString());
  out.set_stable_version(trial.stable.ToString());
  for (const auto& [ours, theirs] : kPhases) {
    if (ours == trial.phase) out.set_state(theirs);
  }
  out.set_percent(trial.phase == Trial::Phase::kPromoted ? 100 : view.summary.candidate_percent);
  out.set_reason(trial.reason);
  SetTime(trial.since, *out.mutable_update_time());
  if (trial.phase != Trial::Phase::kRunning) return out;
  SetTraffic(view.traffic.candidate, *out.mutable_candidate());
  SetTraffic(view.traffic.stable, *out.mutable_stable());
  const RolloutPolicy& policy = view.deployment.rollout;
  if (policy.strategy == Strategy::kCanary) {
    out.set_reason(trial.reason + ": " + Judge(policy, view.traffic).reason);
  }
  return out;
}

v1::ShadowTraffic ToProto(const ShadowTraffic& traffic) {
  v1::ShadowTraffic out;
  out.set_agreed(traffic.agreed);
  out.set_differed(traffic.differed);
  out.set_failed(traffic.failed);
  out.set_skipped(traffic.skipped);
  const auto seconds = [](const LatencyHistogram& latency, double quantile) {
    return absl::ToDoubleSeconds(latency.Quantile(quantile));
  };
  out.set_latency_p50_seconds(seconds(traffic.latency, 0.5));
  out.set_latency_p95_seconds(seconds(traffic.latency, 0.95));
  out.set_original_latency_p50_seconds(seconds(traffic.original_latency, 0.5));
  out.set_original_latency_p95_seconds(seconds(traffic.original_latency, 0.95));
  return out;
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
  *out.mutable_rollout() = ToProto(deployment.rollout);
  if (deployment.trial) *out.mutable_last_rollout() = ToProto(*deployment.trial, view);
  *out.mutable_routing() = deployment.routing;
  if (deployment.routing.has_shadow()) *out.mutable_shadow_traffic() = ToProto(view.shadow);
  return out;
}

DeploymentRequest FromProto(const v1::Deployment& deployment) {
  DeploymentRequest request{.model_version = deployment.model_version(),
                            .pool = deployment.pool(),
                            .replicas = deployment.replicas()};
  if (deployment.has_runtime()) request.runtime = deployment.runtime();
  if (deployment.has_rollout()) request.rollout = FromProto(deployment.rollout());
  if (deployment.has_routing()) request.routing = deployment.routing();
  return request;
}

// Latencies and other counts of a report.
absl::Status ReadCounts(const std::string& field,
                        const google::protobuf::RepeatedField<int64_t>& latency,
                        std::initializer_list<int64_t> counts, LatencyHistogram& out) {
  if (latency.size() > static_cast<int>(out.buckets.size())) {
    return InvalidField(field + ".latency", fmt::format("must be at most {}", out.buckets.size()));
  }
  std::copy(latency.begin(), latency.end(), out.buckets.begin());
  const auto negative = [](int64_t n) { return n < 0; };
  if (std::any_of(latency.begin(), latency.end(), negative) ||
      std::any_of(counts.begin(), counts.end(), negative)) {
    return InvalidField(field, "counts must be at least 0");
  }
  return absl::OkStatus();
}

absl::StatusOr<TrafficReport> FromProto(const v1::ReportTrafficRequest::Traffic& in) {
  TrafficReport report;
  ASSIGN_OR_RETURN(report.deployment, DeploymentName::Parse("traffic.deployment", in.deployment()));
  ASSIGN_OR_RETURN(report.version, VersionName::Parse("traffic.model_version", in.model_version()));
  report.traffic.errors = in.errors();
  RETURN_IF_ERROR(ReadCounts("traffic", in.latency(), {in.errors()}, report.traffic.answered));
  return report;
}

absl::StatusOr<ShadowReport> FromProto(const v1::ReportTrafficRequest::Shadow& in) {
  ShadowReport report;
  ASSIGN_OR_RETURN(report.deployment, DeploymentName::Parse("shadows.deployment", in.deployment()));
  ShadowTraffic& traffic = report.traffic;
  traffic.agreed = in.agreed();
  traffic.differed = in.differed();
  traffic.failed = in.failed();
  traffic.skipped = in.skipped();
  RETURN_IF_ERROR(ReadCounts("shadows", in.latency(),
                             {in.agreed(), in.differed(), in.failed(), in.skipped()},
                             traffic.latency));
  RETURN_IF_ERROR(ReadCounts("shadows", in.original_latency(), {}, traffic.original_latency));
  return report;
}

// Is there a worker that its calls go to?
bool IsRouted(const v1::RouteTable& table, const DeploymentName& name) {
  const auto route =
      std::find_if(table.routes().begin(), table.routes().end(),
                   [&](const v1::Route& one) { return one.deployment() == name.ToString(); });
  return route != table.routes().end() &&
         std::any_of(route->targets().begin(), route->targets().end(),
                     [](const v1::Route::Target& target) { return target.workers_size() > 0; });
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

  grpc::Status PromoteDeployment(grpc::ServerContext* context,
                                 const v1::PromoteDeploymentRequest* request,
                                 v1::Deployment* out) override {
    return edge_->Call(*context, "PromoteDeployment", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const DeploymentName name, DeploymentName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(const DeploymentView view, controller_.Promote(call.principal, name));
      *out = ToProto(view);
      return absl::OkStatus();
    });
  }

  grpc::Status RollbackDeployment(grpc::ServerContext* context,
                                  const v1::RollbackDeploymentRequest* request,
                                  v1::Deployment* out) override {
    return edge_->Call(
        *context, "RollbackDeployment", [&](const CallContext& call) -> absl::Status {
          ASSIGN_OR_RETURN(const DeploymentName name,
                           DeploymentName::Parse("name", request->name()));
          ASSIGN_OR_RETURN(const DeploymentView view,
                           controller_.RollBack(call.principal, name, request->reason()));
          *out = ToProto(view);
          return absl::OkStatus();
        });
  }

  grpc::Status PurgeTenant(grpc::ServerContext* context,
                           const identity::v1::PurgeTenantRequest* request,
                           identity::v1::PurgeTenantResponse* out) override {
    return edge_->Call(*context, "PurgeTenant", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("tenant", request->tenant()));
      ASSIGN_OR_RETURN(*out, controller_.PurgeTenant(call.principal, tenant, request->remove()));
      return absl::OkStatus();
    });
  }

  grpc::Status ReportTraffic(grpc::ServerContext* context, const v1::ReportTrafficRequest* request,
                             google::protobuf::Empty*) override {
    return edge_->Call(*context, "ReportTraffic", [&](const CallContext& call) -> absl::Status {
      std::vector<TrafficReport> reports;
      for (const auto& traffic : request->traffic()) {
        ASSIGN_OR_RETURN(reports.emplace_back(), FromProto(traffic));
      }
      std::vector<ShadowReport> shadows;
      for (const auto& shadow : request->shadows()) {
        ASSIGN_OR_RETURN(shadows.emplace_back(), FromProto(shadow));
      }
      return controller_.ReportTraffic(call.principal, reports, shadows);
    });
  }

  grpc::Status UnloadDeployment(grpc::ServerContext* context,
                                const v1::UnloadDeploymentRequest* request,
                                v1::Deployment* out) override {
    return edge_->Call(*context, "UnloadDeployment", [&](const CallContext& call) {
      return SetLoaded(*context, call.principal, request->name(), false, *out);
    });
  }

  grpc::Status LoadDeployment(grpc::ServerContext* context,
                              const v1::LoadDeploymentRequest* request,
                              v1::Deployment* out) override {
    return edge_->Call(*context, "LoadDeployment", [&](const CallContext& call) {
      return SetLoaded(*context, call.principal, request->name(), true, *out);
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
  // Returns once the routes show it.
  absl::Status SetLoaded(const grpc::ServerContext& context, const Principal& who,
                         const std::string& text, bool loaded, v1::Deployment& out) {
    ASSIGN_OR_RETURN(const DeploymentName name, DeploymentName::Parse("name", text));
    RETURN_IF_ERROR(controller_.SetLoaded(who, name, loaded).status());
    int64_t seen = -1;
    while (!context.IsCancelled()) {
      const auto table = board_.WaitForNewer(seen, kWatchTick);
      if (board_.closed()) return absl::UnavailableError("the controller is stopping");
      ASSIGN_OR_RETURN(const DeploymentView view, controller_.Get(who, name));
      if (loaded && view.summary.state == DeploymentSummary::State::kFailed) {
        return absl::FailedPreconditionError(view.summary.error);
      }
      if (table == nullptr) continue;
      seen = table->generation();
      if (IsRouted(*table, name) != loaded) continue;
      out = ToProto(view);
      return absl::OkStatus();
    }
    return absl::DeadlineExceededError(
        fmt::format("{} is not {} yet", text, loaded ? "loaded" : "unloaded"));
  }

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
