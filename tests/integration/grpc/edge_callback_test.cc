#include <memory>
#include <string>

#include "common/grpc/client.h"
#include "common/grpc/edge.h"
#include "common/grpc/server.h"
#include "common/grpc/status.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "slipway/controller/v1/controller.grpc.pb.h"
#include "tests/integration/grpc/test_controller.h"

namespace slipway {
namespace {

namespace v1 = slipway::controller::v1;

// As the worker's hot path uses the edge: without a thread for each call.
class CallbackController final : public v1::ControllerService::WithCallbackMethod_GetDeployment<
                                     v1::ControllerService::Service> {
 public:
  explicit CallbackController(ServiceEdge& edge)
      : edge_(edge), method_(edge.MethodIndex("GetDeployment")) {}

  grpc::ServerUnaryReactor* GetDeployment(grpc::CallbackServerContext* context,
                                          const v1::GetDeploymentRequest* request,
                                          v1::Deployment* answer) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const auto call = edge_.Admit(*context, method_);
    if (!call.ok()) {
      reactor->Finish(ToGrpcStatus(call.status()));
      return reactor;
    }
    answer->set_name(request->name() + " for " + call->principal.tenant);
    reactor->Finish(edge_.Finish(
        *call, request->name().empty() ? InvalidField("name", "is empty") : absl::OkStatus()));
    return reactor;
  }

 private:
  ServiceEdge& edge_;
  const int method_;
};

TEST(ServiceEdgeCallbackTest, ServesACallbackHandlerTheSameWay) {
  const TempDir dir;
  const TestTrust trust;
  const auto verifier = trust.Verifier(ServiceId::kController);
  Metrics metrics("controller");
  const auto edge = ServiceEdge::Create(kControllerService, *verifier, metrics, Clock::Real());
  ASSERT_TRUE(edge.ok());
  CallbackController service(**edge);
  const auto server = GrpcServer::Start({.address = "unix:" + (dir / "a.sock")}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto stub = v1::ControllerService::NewStub(*OpenChannel({.address = (*server)->address()}));

  const auto get = [&](const std::string& token, const std::string& name, v1::Deployment* answer) {
    grpc::ClientContext context;
    PrepareContext(context, {.token = token, .deadline = Clock::Real().Now() + absl::Seconds(20)});
    v1::GetDeploymentRequest request;
    request.set_name(name);
    return FromGrpcStatus(stub->GetDeployment(&context, request, answer));
  };
  const std::string token =
      trust.Token(TestTrust::AnyPrincipal(ServiceId::kGateway), ServiceId::kController);
  v1::Deployment answer;
  EXPECT_TRUE(get(token, "d", &answer).ok());
  EXPECT_EQ(answer.name(), "d for acme");
  EXPECT_EQ(FieldOf(get(token, "", &answer)), "name");
  EXPECT_EQ(get("", "d", &answer).code(), absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace slipway
