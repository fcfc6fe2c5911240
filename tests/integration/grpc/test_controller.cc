#include "tests/integration/grpc/test_controller.h"

#include <type_traits>
#include <utility>

#include "common/files/files.h"
#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "grpcpp/channel.h"
#include "slipway/controller/v1/controller.grpc.pb.h"

namespace slipway {
namespace {

namespace v1 = slipway::controller::v1;

class TestController final : public v1::ControllerService::Service {
 public:
  TestController(ServiceEdge* edge, TestHandler handler)
      : edge_(edge), handler_(std::move(handler)) {}

  grpc::Status CreateDeployment(grpc::ServerContext* context, const v1::CreateDeploymentRequest*,
                                v1::Deployment*) override {
    return Pass(*context, "CreateDeployment");
  }
  grpc::Status GetDeployment(grpc::ServerContext* context, const v1::GetDeploymentRequest* request,
                             v1::Deployment* answer) override {
    answer->set_name(request->name());
    return Pass(*context, "GetDeployment");
  }
  grpc::Status ListDeployments(grpc::ServerContext* context, const v1::ListDeploymentsRequest*,
                               v1::ListDeploymentsResponse*) override {
    return Pass(*context, "ListDeployments");
  }
  grpc::Status UpdateDeployment(grpc::ServerContext* context, const v1::UpdateDeploymentRequest*,
                                v1::Deployment*) override {
    return Pass(*context, "UpdateDeployment");
  }
  grpc::Status UnloadDeployment(grpc::ServerContext* context, const v1::UnloadDeploymentRequest*,
                                v1::Deployment*) override {
    return Pass(*context, "UnloadDeployment");
  }
  grpc::Status LoadDeployment(grpc::ServerContext* context, const v1::LoadDeploymentRequest*,
                              v1::Deployment*) override {
    return Pass(*context, "LoadDeployment");
  }
  grpc::Status DeleteDeployment(grpc::ServerContext* context, const v1::DeleteDeploymentRequest*,
                                google::protobuf::Empty*) override {
    return Pass(*context, "DeleteDeployment");
  }
  grpc::Status PromoteDeployment(grpc::ServerContext* context, const v1::PromoteDeploymentRequest*,
                                 v1::Deployment*) override {
    return Pass(*context, "PromoteDeployment");
  }
  grpc::Status RollbackDeployment(grpc::ServerContext* context,
                                  const v1::RollbackDeploymentRequest*, v1::Deployment*) override {
    return Pass(*context, "RollbackDeployment");
  }
  grpc::Status ReportTraffic(grpc::ServerContext* context, const v1::ReportTrafficRequest*,
                             google::protobuf::Empty*) override {
    return Pass(*context, "ReportTraffic");
  }
  grpc::Status PurgeTenant(grpc::ServerContext* context, const identity::v1::PurgeTenantRequest*,
                           identity::v1::PurgeTenantResponse*) override {
    return Pass(*context, "PurgeTenant");
  }
  grpc::Status WatchRoutes(grpc::ServerContext* context, const v1::WatchRoutesRequest*,
                           grpc::ServerWriter<v1::RouteTable>* writer) override {
    if (edge_ == nullptr) return grpc::Status::OK;
    return edge_->Call(*context, "WatchRoutes", [&](const CallContext& call) -> absl::Status {
      writer->Write(v1::RouteTable());
      return handler_(call);
    });
  }

 private:
  grpc::Status Pass(grpc::ServerContext& context, std::string_view method) {
    if (edge_ == nullptr) return grpc::Status::OK;
    return edge_->Call(context, method, handler_);
  }

  ServiceEdge* const edge_;
  const TestHandler handler_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTestController(ServiceEdge* edge, TestHandler handler) {
  return std::make_unique<TestController>(edge, std::move(handler));
}

ListenedController::ListenedController(std::unique_ptr<ServiceEdge> edge, TestHandler handler)
    : handler_(std::move(handler)), service_(std::move(edge)) {
  Add<v1::CreateDeploymentRequest, v1::Deployment>("CreateDeployment");
  Add<v1::GetDeploymentRequest, v1::Deployment>("GetDeployment");
  Add<v1::ListDeploymentsRequest, v1::ListDeploymentsResponse>("ListDeployments");
  Add<v1::UpdateDeploymentRequest, v1::Deployment>("UpdateDeployment");
  Add<v1::DeleteDeploymentRequest, google::protobuf::Empty>("DeleteDeployment");
  Add<v1::PromoteDeploymentRequest, v1::Deployment>("PromoteDeployment");
  Add<v1::RollbackDeploymentRequest, v1::Deployment>("RollbackDeployment");
  Add<v1::ReportTrafficRequest, google::protobuf::Empty>("ReportTraffic");
  Add<identity::v1::PurgeTenantRequest, identity::v1::PurgeTenantResponse>("PurgeTenant");
  service_.Add("WatchRoutes",
               [this](std::unique_ptr<ServiceCall> call) { WatchRoutes(std::move(call)); });
}

template <class Request, class Response>
absl::Status ListenedController::Pass(const CallContext& call, const Request& request,
                                      Response& response) {
  if constexpr (std::is_same_v<Request, v1::GetDeploymentRequest>) {
    response.set_name(request.name());
  }
  return handler_(call);
}

template <class Request, class Response>
void ListenedController::Add(std::string_view method) {
  service_.AddBlocking(method, pool_, *this, &ListenedController::Pass<Request, Response>);
}

void ListenedController::WatchRoutes(std::shared_ptr<ServiceCall> call) {
  call->Read([this, call](const http::grpc::Message&) {
    call->wire().Write(http::grpc::FrameOf(v1::RouteTable()), nullptr);
    pool_.Submit([this, call] {
      call->Finish(ServiceEdge::Guarded([&] { return handler_(call->context()); }));
    });
  });
}

ControllerFixture::ControllerFixture(Library library) {
  LogConfig log;
  log.level = "debug";
  log.file = dir_ / "controller.jsonl";
  EXPECT_TRUE(InitLogging("controller", log).ok());

  auto edge = ServiceEdge::Create(kControllerService, *verifier_, metrics_, Clock::Real());
  EXPECT_TRUE(edge.ok()) << edge.status();
  edge_ = *std::move(edge);
  const TestHandler handle = [this](const CallContext& call) {
    return handler_ ? handler_(call) : absl::OkStatus();
  };
  service_ = MakeTestController(edge_.get(), handle);
  auto again = ServiceEdge::Create(kControllerService, *verifier_, metrics_, Clock::Real());
  EXPECT_TRUE(again.ok()) << again.status();
  listened_ = std::make_unique<ListenedController>(*std::move(again), handle);
  auto server = StartAny(library, "unix:" + (dir_ / "controller.sock"), {}, service_.get(),
                         &listened_->service());
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  channel_ = *OpenChannel({.address = server_->address()});
}

ControllerFixture::~ControllerFixture() {
  channel_.reset();
  server_.reset();
  EXPECT_TRUE(InitLogging("test", LogConfig()).ok());
}

ControllerFixture::CallResult ControllerFixture::Get(const CallSpec& spec) {
  grpc::ClientContext context;
  PrepareContext(context, {.token = spec.token,
                           .request_id = spec.request_id,
                           .deadline = Clock::Real().Now() + spec.timeout});
  v1::GetDeploymentRequest request;
  request.set_name("tenants/acme/deployments/d");
  v1::Deployment answer;
  const grpc::Status status =
      v1::ControllerService::NewStub(channel_)->GetDeployment(&context, request, &answer);
  return {FromGrpcStatus(status), answer.name()};
}

absl::Status ControllerFixture::Watch(const CallSpec& spec) {
  grpc::ClientContext context;
  PrepareContext(context, {.token = spec.token,
                           .request_id = spec.request_id,
                           .deadline = Clock::Real().Now() + spec.timeout});
  const auto reader =
      v1::ControllerService::NewStub(channel_)->WatchRoutes(&context, v1::WatchRoutesRequest());
  for (v1::RouteTable table; reader->Read(&table);) {
  }
  return FromGrpcStatus(reader->Finish());
}

std::string ControllerFixture::LogText() const {
  return ReadFile(dir_ / "controller.jsonl").value_or("");
}

}  // namespace slipway
