#include "services/training/training_service.h"

#include <utility>

#include "common/grpc/edge.h"
#include "grpcpp/grpcpp.h"
#include "slipway/training/v1/job_events.grpc.pb.h"
#include "slipway/training/v1/training.grpc.pb.h"

namespace slipway::training {
namespace {

using google::protobuf::Empty;
using grpc::ServerContext;

class TrainingServiceImpl final : public v1::TrainingService::Service {
 public:
  TrainingServiceImpl(Training& training, Planner& planner, std::unique_ptr<ServiceEdge> edge)
      : training_(training), planner_(planner), edge_(std::move(edge)) {}

  grpc::Status CreateTrainingJob(ServerContext* ctx, const v1::CreateTrainingJobRequest* request,
                                 v1::TrainingJob* out) override {
    return edge_->Call(*ctx, "CreateTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(*out, training_.Submit(call.principal, *request, call.deadline));
      return absl::OkStatus();
    });
  }

  grpc::Status PlanTrainingJob(ServerContext* ctx, const v1::PlanTrainingJobRequest* request,
                               v1::TrainingPlan* out) override {
    return edge_->Call(*ctx, "PlanTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(*out, planner_.Plan(call.principal, *request, call.deadline));
      return absl::OkStatus();
    });
  }

  grpc::Status GetTrainingJob(ServerContext* ctx, const v1::GetTrainingJobRequest* request,
                              v1::TrainingJob* out) override {
    return edge_->Call(*ctx, "GetTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*out, training_.Get(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status ListTrainingJobs(ServerContext* ctx, const v1::ListTrainingJobsRequest* request,
                                v1::ListTrainingJobsResponse* out) override {
    return edge_->Call(*ctx, "ListTrainingJobs", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const TenantName parent, TenantName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(*out, training_.List(call.principal, parent, request->page_size(),
                                            request->page_token()));
      return absl::OkStatus();
    });
  }

  grpc::Status CancelTrainingJob(ServerContext* ctx, const v1::CancelTrainingJobRequest* request,
                                 v1::TrainingJob* out) override {
    return edge_->Call(*ctx, "CancelTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*out, training_.Cancel(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status PauseTrainingJob(ServerContext* ctx, const v1::PauseTrainingJobRequest* request,
                                v1::TrainingJob* out) override {
    return edge_->Call(*ctx, "PauseTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*out, training_.Pause(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status ResumeTrainingJob(ServerContext* ctx, const v1::ResumeTrainingJobRequest* request,
                                 v1::TrainingJob* out) override {
    return edge_->Call(*ctx, "ResumeTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("name", request->name()));
      ASSIGN_OR_RETURN(*out, training_.Resume(call.principal, name));
      return absl::OkStatus();
    });
  }

  grpc::Status WatchTrainingJob(ServerContext* ctx, const v1::WatchTrainingJobRequest* request,
                                grpc::ServerWriter<v1::Event>* writer) override {
    return edge_->Call(*ctx, "WatchTrainingJob", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("name", request->name()));
      return training_.Watch(
          call.principal, name, request->after_sequence(),
          [&](const v1::Event& event) { return writer->Write(event); },
          [&] { return ctx->IsCancelled(); });
    });
  }

  grpc::Status PurgeTenant(ServerContext* ctx, const identity::v1::PurgeTenantRequest* request,
                           identity::v1::PurgeTenantResponse* out) override {
    return edge_->Call(*ctx, "PurgeTenant", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("tenant", request->tenant()));
      ASSIGN_OR_RETURN(*out, training_.PurgeTenant(call.principal, tenant, request->remove()));
      return absl::OkStatus();
    });
  }

  grpc::Status ListUsageEvents(ServerContext* ctx, const v1::ListUsageEventsRequest* request,
                               v1::ListUsageEventsResponse* out) override {
    return edge_->Call(*ctx, "ListUsageEvents", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(
          *out, training_.ListUsage(call.principal, request->after_cursor(), request->page_size()));
      return absl::OkStatus();
    });
  }

 private:
  Training& training_;
  Planner& planner_;
  const std::unique_ptr<ServiceEdge> edge_;
};

class JobEventServiceImpl final : public v1::JobEventService::Service {
 public:
  JobEventServiceImpl(Training& training, std::unique_ptr<ServiceEdge> edge)
      : training_(training), edge_(std::move(edge)) {}

  grpc::Status ListTrainingJobEvents(ServerContext* ctx,
                                     const v1::ListTrainingJobEventsRequest* request,
                                     v1::ListTrainingJobEventsResponse* out) override {
    return edge_->Call(*ctx, "ListTrainingJobEvents", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("parent", request->parent()));
      ASSIGN_OR_RETURN(*out, training_.ListEvents(call.principal, name, *request));
      return absl::OkStatus();
    });
  }

 private:
  Training& training_;
  const std::unique_ptr<ServiceEdge> edge_;
};

class AttemptServiceImpl final : public v1::AttemptService::Service {
 public:
  AttemptServiceImpl(Training& training, std::unique_ptr<ServiceEdge> edge)
      : training_(training), edge_(std::move(edge)) {}

  grpc::Status ReportEvents(ServerContext* ctx, const v1::ReportEventsRequest* request,
                            v1::ReportEventsResponse* out) override {
    return edge_->Call(*ctx, "ReportEvents", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("job", request->job()));
      ASSIGN_OR_RETURN(const bool stop, training_.Report(call.principal, name, request->attempt(),
                                                         request->events()));
      out->set_stop(stop);
      return absl::OkStatus();
    });
  }

  grpc::Status CompleteAttempt(ServerContext* ctx, const v1::CompleteAttemptRequest* request,
                               Empty*) override {
    return edge_->Call(*ctx, "CompleteAttempt", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("job", request->job()));
      Result result{request->artifact(),
                    request->signature(),
                    {request->metrics().begin(), request->metrics().end()},
                    {request->labels().begin(), request->labels().end()}};
      return training_.Complete(call.principal, name, request->attempt(), std::move(result));
    });
  }

  grpc::Status FailAttempt(ServerContext* ctx, const v1::FailAttemptRequest* request,
                           Empty*) override {
    return edge_->Call(*ctx, "FailAttempt", [&](const CallContext& call) -> absl::Status {
      ASSIGN_OR_RETURN(const JobName name, JobName::Parse("job", request->job()));
      return training_.Fail(call.principal, name, request->attempt(), request->error(),
                            request->retryable());
    });
  }

 private:
  Training& training_;
  const std::unique_ptr<ServiceEdge> edge_;
};

}  // namespace

class TrainingEdge::Impl {
 public:
  Impl(Training& training, Planner& planner, std::unique_ptr<ServiceEdge> jobs,
       std::unique_ptr<ServiceEdge> events, std::unique_ptr<ServiceEdge> attempts)
      : jobs_(training, planner, std::move(jobs)),
        events_(training, std::move(events)),
        attempts_(training, std::move(attempts)) {}

  std::vector<grpc::Service*> services() { return {&jobs_, &events_, &attempts_}; }

 private:
  TrainingServiceImpl jobs_;
  JobEventServiceImpl events_;
  AttemptServiceImpl attempts_;
};

absl::StatusOr<std::unique_ptr<TrainingEdge>> TrainingEdge::Create(Training& training,
                                                                   Planner& planner,
                                                                   const TokenVerifier& verifier,
                                                                   Metrics& metrics,
                                                                   const Clock& clock) {
  ASSIGN_OR_RETURN(auto jobs, ServiceEdge::Create(v1::TrainingService::service_full_name(),
                                                  verifier, metrics, clock));
  ASSIGN_OR_RETURN(auto events, ServiceEdge::Create(v1::JobEventService::service_full_name(),
                                                    verifier, metrics, clock));
  ASSIGN_OR_RETURN(auto attempts, ServiceEdge::Create(v1::AttemptService::service_full_name(),
                                                      verifier, metrics, clock));
  return std::unique_ptr<TrainingEdge>(new TrainingEdge(std::make_unique<Impl>(
      training, planner, std::move(jobs), std::move(events), std::move(attempts))));
}

TrainingEdge::TrainingEdge(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TrainingEdge::~TrainingEdge() = default;

std::vector<grpc::Service*> TrainingEdge::services() const { return impl_->services(); }

}  // namespace slipway::training
