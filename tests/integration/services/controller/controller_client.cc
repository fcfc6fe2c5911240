#include "tests/integration/services/controller/controller_client.h"

#include <grpcpp/grpcpp.h>

#include <thread>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/time/clock.h"
#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

}  // namespace

ControllerClient::ControllerClient(const std::string& address, const TestTrust& trust)
    : trust_(trust),
      stub_(v1::ControllerService::NewStub(*OpenChannel({.address = address, .tls = {}}))) {}

std::unique_ptr<grpc::ClientContext> ControllerClient::Context() const {
  Principal who;
  who.tenant = "acme";
  who.role = Role::kDeveloper;
  who.caller = ServiceId::kGateway;
  const std::string token = trust_.Token(who, ServiceId::kController);
  auto context = std::make_unique<grpc::ClientContext>();
  PrepareContext(*context, {.token = token,
                            .request_id = "test-1",
                            .deadline = Clock::Real().Now() + kPatience,
                            .wait_for_ready = true});
  return context;
}

absl::StatusOr<v1::Deployment> ControllerClient::Create(const std::string& id,
                                                        const std::string& version,
                                                        const std::string& request_id) {
  v1::CreateDeploymentRequest request;
  request.set_parent("tenants/acme");
  request.set_deployment_id(id);
  request.mutable_deployment()->set_model_version(version);
  request.set_request_id(request_id);
  v1::Deployment response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->CreateDeployment(Context().get(), request, &response)));
  return response;
}

absl::StatusOr<v1::Deployment> ControllerClient::Get(const std::string& name) {
  v1::GetDeploymentRequest request;
  request.set_name(name);
  v1::Deployment response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->GetDeployment(Context().get(), request, &response)));
  return response;
}

absl::StatusOr<v1::ListDeploymentsResponse> ControllerClient::List() {
  v1::ListDeploymentsRequest request;
  request.set_parent("tenants/acme");
  v1::ListDeploymentsResponse response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->ListDeployments(Context().get(), request, &response)));
  return response;
}

absl::StatusOr<v1::Deployment> ControllerClient::Update(const std::string& name,
                                                        const std::string& version) {
  v1::UpdateDeploymentRequest request;
  request.mutable_deployment()->set_name(name);
  request.mutable_deployment()->set_model_version(version);
  v1::Deployment response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->UpdateDeployment(Context().get(), request, &response)));
  return response;
}

absl::StatusOr<v1::Deployment> ControllerClient::Unload(const std::string& name) {
  v1::UnloadDeploymentRequest request;
  request.set_name(name);
  v1::Deployment response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->UnloadDeployment(Context().get(), request, &response)));
  return response;
}

absl::StatusOr<v1::Deployment> ControllerClient::Load(const std::string& name) {
  v1::LoadDeploymentRequest request;
  request.set_name(name);
  v1::Deployment response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->LoadDeployment(Context().get(), request, &response)));
  return response;
}

absl::Status ControllerClient::Delete(const std::string& name) {
  v1::DeleteDeploymentRequest request;
  request.set_name(name);
  google::protobuf::Empty response;
  return FromGrpcStatus(stub_->DeleteDeployment(Context().get(), request, &response));
}

v1::Deployment ControllerClient::Await(const std::string& name,
                                       const std::function<bool(const v1::Deployment&)>& wanted) {
  const absl::Duration end = Clock::Real().Monotonic() + kPatience;
  v1::Deployment last;
  while (Clock::Real().Monotonic() < end) {
    if (const auto deployment = Get(name); deployment.ok()) last = *deployment;
    if (wanted(last)) return last;
    std::this_thread::yield();
  }
  ADD_FAILURE() << "never came: " << last.DebugString();
  return last;
}

v1::Deployment ControllerClient::AwaitState(const std::string& name, v1::Deployment::State state) {
  return Await(name, [&](const v1::Deployment& d) { return d.state() == state; });
}

void ControllerClient::AwaitGone(const std::string& name) {
  const absl::Duration end = Clock::Real().Monotonic() + kPatience;
  while (Clock::Real().Monotonic() < end) {
    if (absl::IsNotFound(Get(name).status())) return;
    std::this_thread::yield();
  }
  ADD_FAILURE() << name << " never went";
}

std::optional<v1::RouteTable> ControllerClient::AwaitRoutes(
    const std::function<bool(const v1::RouteTable&)>& wanted) {
  const auto context = Context();
  const auto reader = stub_->WatchRoutes(context.get(), {});
  v1::RouteTable table;
  while (reader->Read(&table)) {
    if (!wanted(table)) continue;
    context->TryCancel();
    (void)reader->Finish();
    return table;
  }
  (void)reader->Finish();
  return std::nullopt;
}

std::string RoutedVersion(const v1::RouteTable& table) {
  if (table.routes_size() != 1 || table.routes(0).targets_size() != 1) return "";
  return table.routes(0).targets(0).model_version();
}

}  // namespace slipway::controller
