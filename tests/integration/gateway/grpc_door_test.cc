// gRPC at the public door: a standard client (grpc++) against the real gateway, with fake services
// and workers behind it.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/status.h"
#include "google/api/httpbody.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "inference/open_inference.grpc.pb.h"
#include "slipway/gateway/v1/identity.pb.h"
#include "slipway/status/v1/status.pb.h"
#include "tests/integration/gateway/gateway_fixture.h"
#include "tests/integration/gateway/generic_call.h"

namespace slipway::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Stub = inference::GRPCInferenceService::Stub;

class GrpcDoorTest : public GatewayTest {
 protected:
  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    MakeTenant("globex");
    key_ = MakeKey("acme", "OWNER");
    worker_ = std::make_unique<FakeWorker>(trust_, folder_ / "run/w1.sock");
    RouteTo("acme", "digits", key_, {{3, worker_->address()}});
    channel_ = Dial();
    stub_ = inference::GRPCInferenceService::NewStub(channel_);
  }

  std::shared_ptr<grpc::Channel> Dial() const { return DialDoor(gateway_->address()); }

  std::unique_ptr<grpc::ClientContext> Context(const std::string& key) const {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
    context->set_deadline(absl::ToChronoTime(Clock::Real().Now() + absl::Seconds(30)));
    return context;
  }

  template <class Request, class Response>
  grpc::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response, const std::string& key) {
    const auto context = Context(key);
    return (stub_.get()->*method)(context.get(), request, &response);
  }
  grpc::Status Infer(const inference::ModelInferRequest& request,
                     inference::ModelInferResponse& response) {
    return Call(&Stub::ModelInfer, request, response, key_);
  }

  grpc::Status CallApi(const std::string& method, const google::protobuf::Message& request,
                       google::protobuf::Message& response, const std::string& key) {
    GenericCall call(channel_, "/slipway.gateway.v1." + method, key);
    call.Write(request);
    call.WritesDone();
    call.Read(response);
    return call.Finish();
  }

  static inference::ModelInferRequest Request(const std::string& model = "digits",
                                              size_t floats = 2) {
    inference::ModelInferRequest request;
    request.set_model_name(model);
    request.set_id("42");
    auto& input = *request.add_inputs();
    input.set_name("x");
    input.set_datatype("FP32");
    input.add_shape(1);
    input.add_shape(static_cast<int64_t>(floats));
    std::string bytes(floats * 4, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 131 + i / 251);
    request.add_raw_input_contents(bytes);
    return request;
  }

  json Records() {
    return AskJson("GET", "/api/v1/tenants/-/usageRecords?pageSize=1000", key_)["usageRecords"];
  }

  std::string key_;
  std::unique_ptr<FakeWorker> worker_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

// ---- The Open Inference Protocol ---------------------------------------------------------------

TEST_F(GrpcDoorTest, PredictsAndNamesTheModelAsTheCallerDoes) {
  inference::ModelInferResponse response;
  const grpc::Status status = Infer(Request(), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model_name(), "digits");
  EXPECT_EQ(response.model_version(), "3");
  EXPECT_EQ(response.id(), "42");
  EXPECT_EQ(response.parameters_size(), 0) << "what the gateway measures by is its own";
  EXPECT_EQ(response.raw_output_contents(0), Request().raw_input_contents(0));
  ASSERT_THAT(worker_->requests(), SizeIs(1));
  EXPECT_EQ(worker_->requests()[0].model_name(), "tenants/acme/deployments/digits");
  EXPECT_EQ(worker_->requests()[0].model_version(), "3");
}

TEST_F(GrpcDoorTest, LargeTensorsPassThroughUnchanged) {
  for (const size_t floats :
       {size_t{1}, size_t{1000}, size_t{20'000}, size_t{150'528}, size_t{4'000'000}}) {
    inference::ModelInferResponse response;
    const auto request = Request("digits", floats);
    const grpc::Status status = Infer(request, response);
    ASSERT_TRUE(status.ok()) << floats << ": " << status.error_message();
    EXPECT_EQ(response.raw_output_contents(0), request.raw_input_contents(0)) << floats;
  }
}

TEST_F(GrpcDoorTest, ParametersReachTheWorker) {
  auto request = Request();
  (*request.mutable_parameters())["priority"].set_uint64_param(7);
  (*request.mutable_inputs(0)->mutable_parameters())["hint"].set_double_param(0.5);
  inference::ModelInferResponse response;
  ASSERT_TRUE(Infer(request, response).ok());
  EXPECT_EQ(worker_->requests()[0].parameters().at("priority").uint64_param(), 7u);
  EXPECT_EQ(worker_->requests()[0].inputs(0).parameters().at("hint").double_param(), 0.5);
}

TEST_F(GrpcDoorTest, CompressedMessagesAreTaken) {
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    const auto context = Context(key_);
    context->set_compression_algorithm(algorithm);
    inference::ModelInferResponse response;
    const grpc::Status status =
        stub_->ModelInfer(context.get(), Request("digits", 5000), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.raw_output_contents(0), Request("digits", 5000).raw_input_contents(0));
  }
}

TEST_F(GrpcDoorTest, AMessageOverTheLimitIsRefused) {
  gateway_.reset();
  config_.limits.max_infer_body_bytes = 4096;
  StartGateway();
  channel_ = Dial();
  stub_ = inference::GRPCInferenceService::NewStub(channel_);
  inference::ModelInferResponse response;
  EXPECT_EQ(Infer(Request("digits", 2000), response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  // Small as it comes, and large when it is decompressed.
  auto zeros = Request();
  *zeros.mutable_raw_input_contents(0) = std::string(1 << 20, '\0');
  const auto context = Context(key_);
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  EXPECT_EQ(stub_->ModelInfer(context.get(), zeros, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcDoorTest, KeysAreCheckedAsOverRest) {
  inference::ModelInferResponse response;
  EXPECT_EQ(Call(&Stub::ModelInfer, Request(), response, "").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Call(&Stub::ModelInfer, Request(), response, "slw_local_nonsense").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Call(&Stub::ModelInfer, Request(), response, MakeKey("acme", "VIEWER")).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  // Another tenant's model reads like an absent one.
  const auto theirs = Call(&Stub::ModelInfer, Request(), response, MakeKey("globex", "OWNER"));
  const auto absent =
      Call(&Stub::ModelInfer, Request("digits"), response, MakeKey("globex", "OWNER"));
  EXPECT_EQ(theirs.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(theirs.error_message(), absent.error_message());
  // The other carrier.
  grpc::ClientContext context;
  context.AddMetadata("x-api-key", key_);
  EXPECT_TRUE(stub_->ModelInfer(&context, Request(), &response).ok());
}

TEST_F(GrpcDoorTest, EachAnsweredPredictionHasOneRow) {
  inference::ModelInferResponse response;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Infer(Request(), response).ok());
  EXPECT_FALSE(Infer(Request("none"), response).ok());
  worker_->OnInfer([](const auto&, auto&) { return InvalidField("inputs.x", "is wrong"); });
  EXPECT_FALSE(Infer(Request(), response).ok());
  const json records = Records();
  ASSERT_EQ(records.size(), 3u) << records.dump(1);
  EXPECT_EQ(records[0]["kind"], "inference");
  EXPECT_EQ(records[0]["resource"], "tenants/acme/deployments/digits");
  EXPECT_EQ(records[0]["computeMicros"], "123");
  EXPECT_EQ(records[0]["httpCode"], 200);
}

TEST_F(GrpcDoorTest, TheRowIsWrittenBeforeTheAnswer) {
  const auto request = Request("digits", 16);
  inference::ModelInferResponse response;
  const SystemCalls recorded;
  ASSERT_TRUE(Infer(request, response).ok());
  const auto calls = recorded.calls();
  const auto row = std::find_if(calls.begin(), calls.end(), WritesRow);
  // The tensor goes to the gateway, to the worker, back to the gateway and at last to the caller.
  const auto answer = std::find_if(calls.rbegin(), calls.rend(), [&](const auto& call) {
    return call.operation == "send" &&
           call.bytes.find(request.raw_input_contents(0)) != std::string::npos;
  });
  ASSERT_TRUE(row != calls.end() && answer != calls.rend());
  EXPECT_LT(row - calls.begin(), answer.base() - calls.begin() - 1);
}

TEST_F(GrpcDoorTest, AnErrorNamesTheFieldAndTheRequest) {
  worker_->OnInfer([](const auto&, auto&) { return InvalidField("inputs.x.shape", "is wrong"); });
  inference::ModelInferResponse response;
  const grpc::Status status = Infer(Request(), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "inputs.x.shape: is wrong");
  status::v1::StatusDetails details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  status::v1::BadRequest bad;
  ASSERT_TRUE(bad.ParseFromString(details.details(0).value()));
  EXPECT_EQ(bad.field_violations(0).field(), "inputs.x.shape");
}

TEST_F(GrpcDoorTest, WhatGoesWrongInsideStaysInTheLog) {
  worker_->OnInfer([](const auto&, auto&) { return absl::InternalError("secret path /x"); });
  inference::ModelInferResponse response;
  const grpc::Status status = Infer(Request(), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), ::testing::Not(HasSubstr("secret")));
}

TEST_F(GrpcDoorTest, ADeadlineThatPassesEndsTheWorkersCall) {
  worker_->HoldInferUntilCancelled();
  const auto context = Context(key_);
  // Long enough for the call to reach the worker on a busy machine.
  context->set_deadline(absl::ToChronoTime(Clock::Real().Now() + absl::Seconds(2)));
  inference::ModelInferResponse response;
  EXPECT_EQ(stub_->ModelInfer(context.get(), Request(), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  WaitFor([&] { return worker_->cancelled() == 1; }, "the worker's call to be cancelled");
}

TEST_F(GrpcDoorTest, NamesThatNoModelHasAreNotFound) {
  for (const std::string& name :
       {std::string(), std::string("../digits"), std::string("tenants/acme/deployments/digits"),
        std::string(10'000, 'a')}) {
    inference::ModelInferResponse response;
    const grpc::Status status = Infer(Request(name), response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
    EXPECT_LT(status.error_message().size(), 300u);
  }
  auto request = Request();
  request.set_model_version("4");
  inference::ModelInferResponse response;
  EXPECT_EQ(Infer(request, response).error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_model_version("3");
  EXPECT_TRUE(Infer(request, response).ok());
}

TEST_F(GrpcDoorTest, AStreamAnswersInOrderAndGoesOnAfterAnError) {
  const auto context = Context(key_);
  const auto stream = stub_->ModelStreamInfer(context.get());
  constexpr int kRequests = 100;  // more than are under way at once
  for (int i = 0; i < kRequests; ++i) {
    auto request = Request(i == 50 ? "none" : "digits");
    request.set_id(std::to_string(i));
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(stream->Read(&response)) << i;
    EXPECT_EQ(response.infer_response().id(), std::to_string(i));
    if (i == 50) {
      EXPECT_THAT(response.error_message(), HasSubstr("model none"));
    } else {
      EXPECT_EQ(response.error_message(), "");
      EXPECT_EQ(response.infer_response().model_name(), "digits");
    }
  }
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Records().size(), 99u);
}

TEST_F(GrpcDoorTest, AStreamThatIsLeftEndsItsPredictions) {
  Mutex mutex;
  CondVar changed;
  bool open = false;
  worker_->OnInfer([&](const auto&, auto&) {
    MutexLock lock(mutex);
    while (!open) changed.Wait(mutex);
    return absl::OkStatus();
  });
  const auto context = Context(key_);
  const auto stream = stub_->ModelStreamInfer(context.get());
  ASSERT_TRUE(stream->Write(Request()));
  WaitFor([&] { return worker_->requests().size() == 1; }, "the request to arrive");
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // By now the gateway has been told, or is about to be.
  {
    MutexLock lock(mutex);
    open = true;
    changed.SignalAll();
  }
  gateway_.reset();  // waits for what is under way
}

TEST_F(GrpcDoorTest, TellsOfItselfAndOfModels) {
  inference::ServerLiveResponse live;
  EXPECT_TRUE(Call(&Stub::ServerLive, {}, live, "").ok());
  EXPECT_TRUE(live.live());
  inference::ServerReadyResponse ready;
  EXPECT_TRUE(Call(&Stub::ServerReady, {}, ready, "").ok());
  EXPECT_TRUE(ready.ready());
  inference::ServerMetadataResponse server;
  EXPECT_EQ(Call(&Stub::ServerMetadata, {}, server, "").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  ASSERT_TRUE(Call(&Stub::ServerMetadata, {}, server, key_).ok());
  EXPECT_EQ(server.name(), "slipway");
  inference::ModelReadyRequest is_ready;
  is_ready.set_name("digits");
  inference::ModelReadyResponse model_ready;
  ASSERT_TRUE(Call(&Stub::ModelReady, is_ready, model_ready, key_).ok());
  EXPECT_TRUE(model_ready.ready());
  is_ready.set_version("9");
  EXPECT_EQ(Call(&Stub::ModelReady, is_ready, model_ready, key_).error_code(),
            grpc::StatusCode::NOT_FOUND);
  inference::ModelMetadataRequest about;
  about.set_name("digits");
  inference::ModelMetadataResponse metadata;
  ASSERT_TRUE(Call(&Stub::ModelMetadata, about, metadata, key_).ok());
  EXPECT_THAT(metadata.versions(), ElementsAre("3"));
  EXPECT_EQ(metadata.inputs(0).name(), "x");
}

TEST_F(GrpcDoorTest, TheRepositoryIsTheOperators) {
  inference::RepositoryIndexResponse index;
  EXPECT_EQ(Call(&Stub::RepositoryIndex, {}, index, key_).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(Call(&Stub::RepositoryIndex, {}, index, operator_key_).ok());
  ASSERT_EQ(index.models_size(), 1);
  EXPECT_EQ(index.models(0).state(), "READY");
  inference::RepositoryModelLoadRequest load;
  load.set_model_name(index.models(0).name());
  inference::RepositoryModelLoadResponse loaded;
  EXPECT_EQ(Call(&Stub::RepositoryModelLoad, load, loaded, key_).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Call(&Stub::RepositoryModelLoad, load, loaded, operator_key_).ok());
  inference::RepositoryModelUnloadRequest unload;
  unload.set_model_name(load.model_name());
  inference::RepositoryModelUnloadResponse unloaded;
  EXPECT_EQ(Call(&Stub::RepositoryModelUnload, unload, unloaded, key_).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(metrics_->Text(), HasSubstr(R"(refused_requests_total{reason="role"} 3)"));
  platform_->On("ControllerService/UnloadDeployment", [](const auto&) {
    return FakePlatform::Reply{.messages = {}, .status = absl::NotFoundError("it is gone")};
  });
  EXPECT_EQ(Call(&Stub::RepositoryModelUnload, unload, unloaded, operator_key_).error_code(),
            grpc::StatusCode::NOT_FOUND);
  inference::SystemSharedMemoryStatusResponse memory;
  EXPECT_EQ(Call(&Stub::SystemSharedMemoryStatus, {}, memory, key_).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

// ---- The platform's own API --------------------------------------------------------------------

TEST_F(GrpcDoorTest, TheApisMethodsAreThoseOfRest) {
  v1::GetTenantRequest request;
  request.set_name("tenants/-");
  v1::Tenant tenant;
  grpc::Status status = CallApi("TenantService/GetTenant", request, tenant, key_);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(tenant.name(), "tenants/acme");
  // One that another service answers.
  registry::v1::GetModelRequest get;
  get.set_name("tenants/acme/models/m");
  registry::v1::Model model;
  status = CallApi("ModelService/GetModel", get, model, key_);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(model.name(), get.name());
}

TEST_F(GrpcDoorTest, TheApiRefusesAsRestDoes) {
  const std::string viewer = MakeKey("acme", "VIEWER");
  registry::v1::CreateModelRequest create;
  create.set_parent("tenants/acme");
  registry::v1::Model model;
  EXPECT_EQ(CallApi("ModelService/CreateModel", create, model, viewer).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(CallApi("ModelService/CreateModel", create, model, "").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  registry::v1::GetModelRequest get;
  for (const char* name : {"tenants/globex/models/m", "tenants/nobody/models/m"}) {
    get.set_name(name);
    EXPECT_EQ(CallApi("ModelService/GetModel", get, model, key_).error_code(),
              grpc::StatusCode::NOT_FOUND)
        << name;
  }
  // Names that no path could carry.
  for (const char* name : {"", "m", "tenants/acme", "tenants/acme/models/m/versions/1"}) {
    get.set_name(name);
    EXPECT_EQ(CallApi("ModelService/GetModel", get, model, key_).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT)
        << name;
  }
  EXPECT_EQ(CallApi("ModelService/NoSuchMethod", get, model, key_).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  // What services keep among themselves has no door here.
  GenericCall inner(channel_, "/slipway.registry.v1.RegistryService/GetModel", operator_key_);
  inner.Write(get);
  inner.WritesDone();
  EXPECT_FALSE(inner.Read(model));
  EXPECT_EQ(inner.Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(GrpcDoorTest, WhatChangesSomethingIsAudited) {
  registry::v1::CreateModelRequest create;
  create.set_parent("tenants/acme");
  registry::v1::Model model;
  ASSERT_TRUE(CallApi("ModelService/CreateModel", create, model, key_).ok());
  const json records =
      AskJson("GET", "/api/v1/tenants/-/auditRecords?pageSize=1000", key_)["auditRecords"];
  int found = 0;
  for (const json& record : records) {
    if (record["method"] != "slipway.gateway.v1.ModelService/CreateModel") continue;
    EXPECT_EQ(record["resource"], "tenants/acme");
    EXPECT_EQ(record["httpCode"], 200);
    ++found;
  }
  EXPECT_EQ(found, 1) << records.dump(1);
}

TEST_F(GrpcDoorTest, UploadsAreStreamsOfRequests) {
  GenericCall call(channel_, "/slipway.gateway.v1.BlobService/UploadBlob", key_);
  registry::v1::UploadBlobRequest request;
  request.set_parent("tenants/acme");
  request.mutable_content()->set_data("first ");
  ASSERT_TRUE(call.Write(request));
  // Whose blob it is was said once.
  request.set_parent("tenants/globex");
  request.mutable_content()->set_data("second");
  ASSERT_TRUE(call.Write(request));
  call.WritesDone();
  registry::v1::Blob blob;
  EXPECT_TRUE(call.Read(blob));
  const grpc::Status status = call.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  const auto calls = platform_->calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].messages, 2u);
  EXPECT_EQ(calls[0].content_bytes, 12u);
  registry::v1::UploadBlobRequest first;
  ASSERT_TRUE(first.ParseFromString(calls[0].request));
  EXPECT_EQ(first.parent(), "tenants/acme");
}

TEST_F(GrpcDoorTest, WatchesAndDownloadsAreStreamsOfAnswers) {
  platform_->On("RegistryService/DownloadBlob", [](const auto&) {
    FakePlatform::Reply reply;
    for (const char* text : {"one", "two"}) {
      auto body = std::make_shared<google::api::HttpBody>();
      body->set_data(text);
      reply.messages.push_back(body);
    }
    return reply;
  });
  GenericCall call(channel_, "/slipway.gateway.v1.BlobService/DownloadBlob", key_);
  registry::v1::DownloadBlobRequest request;
  request.set_name("tenants/acme/blobs/sha256:" + std::string(64, '0'));
  call.Write(request);
  call.WritesDone();
  google::api::HttpBody body;
  ASSERT_TRUE(call.Read(body));
  EXPECT_EQ(body.data(), "one");
  ASSERT_TRUE(call.Read(body));
  EXPECT_EQ(body.data(), "two");
  EXPECT_FALSE(call.Read(body));
  EXPECT_TRUE(call.Finish().ok());
}

// ---- Health and reflection ---------------------------------------------------------------------

TEST_F(GrpcDoorTest, TellsItsHealthToAnyone) {
  using ::grpc::health::v1::HealthCheckResponse;
  ::grpc::health::v1::HealthCheckRequest request;
  const auto check = [&](const std::string& service) {
    request.set_service(service);
    GenericCall call(channel_, "/grpc.health.v1.Health/Check", "");
    call.Write(request);
    call.WritesDone();
    HealthCheckResponse response;
    call.Read(response);
    const grpc::Status status = call.Finish();
    return status.ok() ? static_cast<int>(response.status())
                       : -static_cast<int>(status.error_code());
  };
  EXPECT_EQ(check(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(check("inference.GRPCInferenceService"), HealthCheckResponse::SERVING);
  EXPECT_EQ(check("slipway.gateway.v1.ModelService"), HealthCheckResponse::SERVING);
  EXPECT_EQ(check("slipway.registry.v1.RegistryService"), -grpc::StatusCode::NOT_FOUND);

  GenericCall watch(channel_, "/grpc.health.v1.Health/Watch", "");
  request.set_service("");
  watch.Write(request);
  watch.WritesDone();
  HealthCheckResponse response;
  ASSERT_TRUE(watch.Read(response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
}

TEST_F(GrpcDoorTest, ReflectsWhatItServes) {
  for (const char* version : {"v1", "v1alpha"}) {
    const std::string path =
        fmt::format("/grpc.reflection.{}.ServerReflection/ServerReflectionInfo", version);
    GenericCall call(channel_, path, key_);
    ::grpc::reflection::v1::ServerReflectionRequest request;
    ::grpc::reflection::v1::ServerReflectionResponse response;
    request.set_list_services("");
    ASSERT_TRUE(call.Write(request));
    ASSERT_TRUE(call.Read(response));
    std::vector<std::string> services;
    for (const auto& service : response.list_services_response().service()) {
      services.push_back(service.name());
    }
    EXPECT_THAT(services, Contains("inference.GRPCInferenceService"));
    EXPECT_THAT(services, Contains("slipway.gateway.v1.TenantService"));
    EXPECT_THAT(services, ::testing::Not(Contains("slipway.registry.v1.RegistryService")));
    request.set_file_containing_symbol("inference.GRPCInferenceService.ModelInfer");
    ASSERT_TRUE(call.Write(request));
    ASSERT_TRUE(call.Read(response));
    EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 2);
    request.set_file_containing_symbol("no.such.Symbol");
    ASSERT_TRUE(call.Write(request));
    ASSERT_TRUE(call.Read(response));
    EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
    call.WritesDone();
    EXPECT_TRUE(call.Finish().ok());
  }
  GenericCall nobody(channel_, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "");
  EXPECT_EQ(nobody.Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace slipway::gateway
