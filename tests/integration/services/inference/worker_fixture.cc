#include "tests/integration/services/inference/worker_fixture.h"

#include <grpcpp/grpcpp.h>

#include <cstring>
#include <thread>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/names/names.h"

namespace slipway::worker {

void WorkerTest::StartWorker(ModelRuntime& runtime, int instances, size_t max_queue,
                             bool shared_memory) {
  const Clock& clock = Clock::Real();
  verifier_ = trust_.Verifier(ServiceId::kWorker);
  auto blobs = GrpcBlobClient::Create({.address = registry_.address(), .tls = {}}, clock);
  ASSERT_TRUE(blobs.ok()) << blobs.status();
  blobs_ = *std::move(blobs);
  auto cache = BlobCache::Open({.folder = dir_ / "blobs"}, *blobs_);
  ASSERT_TRUE(cache.ok()) << cache.status();
  cache_ = std::make_unique<BlobCache>(*std::move(cache));
  BatchPolicy batching;
  batching.queues[0].max_calls = max_queue;
  batcher_ = std::make_unique<Batcher>(Batcher::Options{.instances = instances}, clock);
  models_ = std::make_unique<LoadedModels>(*cache_, runtime, *batcher_, metrics_,
                                           LoadedModels::Options{.batching = batching});
  auto inference =
      InferenceService::Create(*models_, *batcher_, shared_memory ? &memory_ : nullptr,
                               /*tracer=*/nullptr, ready_, *verifier_, metrics_, clock);
  ASSERT_TRUE(inference.ok()) << inference.status();
  inference_service_ = *std::move(inference);
  auto control = WorkerService::Create(*models_, ready_, *verifier_, metrics_, clock);
  ASSERT_TRUE(control.ok()) << control.status();
  worker_service_ = *std::move(control);
  auto server =
      ServiceListener::Start({.address = "unix:" + (dir_ / "worker.sock")},
                             {&inference_service_->service(), &worker_service_->service()});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  const auto channel = *OpenChannel({.address = address(), .tls = {}});
  inference_ = inference::GRPCInferenceService::NewStub(channel);
  control_ = v1::WorkerService::NewStub(channel);
}

void WorkerTest::StopWorker(absl::Duration grace) {
  server_->Drain(grace);
  server_.reset();
  inference_service_.reset();
  worker_service_.reset();
  models_.reset();
}

std::string WorkerTest::GatewayToken(const std::string& tenant) const {
  Principal who;
  who.tenant = tenant;
  who.role = Role::kCaller;
  who.key_id = "key-1";
  who.caller = ServiceId::kGateway;
  return trust_.Token(who, ServiceId::kWorker);
}

std::string WorkerTest::ControllerToken() const {
  Principal who;
  who.caller = ServiceId::kController;
  return trust_.Token(who, ServiceId::kWorker);
}

std::string WorkerTest::LoadToken(const std::vector<std::string>& versions) const {
  Principal who;
  who.tenant = VersionName::Parse("version", versions[0])->model.tenant;
  who.caller = ServiceId::kWorker;
  who.scopes = versions;
  return trust_.Token(who, ServiceId::kNone);
}

absl::StatusOr<v1::LoadedModel> WorkerTest::Load(const std::string& deployment,
                                                 const slipway::registry::v1::ModelVersion& version,
                                                 const v1::RuntimeSettings& settings,
                                                 const LoadedModels::Versions& steps) {
  const std::string token = ControllerToken();
  grpc::ClientContext context;
  PrepareContext(context, {.token = token});
  v1::LoadModelRequest request;
  request.set_deployment(deployment);
  *request.mutable_model_version() = version;
  *request.mutable_runtime() = settings;
  *request.mutable_steps() = steps;
  std::vector<std::string> versions = {version.name()};
  for (const auto& step : steps) versions.push_back(step.name());
  request.set_token(LoadToken(versions));
  v1::LoadedModel response;
  RETURN_IF_ERROR(FromGrpcStatus(control_->LoadModel(&context, request, &response)));
  return response;
}

absl::Status WorkerTest::Unload(const std::string& deployment, const std::string& version) {
  const std::string token = ControllerToken();
  grpc::ClientContext context;
  PrepareContext(context, {.token = token});
  v1::UnloadModelRequest request;
  request.set_deployment(deployment);
  request.set_model_version(version);
  google::protobuf::Empty response;
  return FromGrpcStatus(control_->UnloadModel(&context, request, &response));
}

v1::ListLoadedModelsResponse WorkerTest::ListLoadedModels() {
  const std::string token = ControllerToken();
  grpc::ClientContext context;
  PrepareContext(context, {.token = token});
  v1::ListLoadedModelsResponse response;
  const grpc::Status status = control_->ListLoadedModels(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

std::vector<v1::LoadedModel> WorkerTest::List() {
  const v1::ListLoadedModelsResponse response = ListLoadedModels();
  return {response.models().begin(), response.models().end()};
}

v1::ProcessMemory WorkerTest::Memory() { return ListLoadedModels().memory(); }

v1::LoadedModel WorkerTest::Await(const std::string& version) {
  for (;;) {
    for (const v1::LoadedModel& model : List()) {
      if (model.model_version() == version && model.state() != v1::LoadedModel::LOADING) {
        return model;
      }
    }
    std::this_thread::yield();
  }
}

v1::LoadedModel WorkerTest::LoadAndAwait(const slipway::registry::v1::ModelVersion& version) {
  const auto begun = Load(kShoes, version);
  EXPECT_TRUE(begun.ok()) << begun.status();
  return Await(version.name());
}

std::unique_ptr<grpc::ClientContext> WorkerTest::GatewayContext(const std::string& tenant) const {
  auto context = std::make_unique<grpc::ClientContext>();
  const std::string token = GatewayToken(tenant);
  PrepareContext(*context, {.token = token, .request_id = "test-1"});
  return context;
}

absl::StatusOr<inference::ModelInferResponse> WorkerTest::Infer(
    const inference::ModelInferRequest& request, const std::string& tenant, absl::Duration timeout,
    const std::function<void(grpc::ClientContext&)>& change) {
  const auto context = GatewayContext(tenant);
  context->set_deadline(absl::ToChronoTime(Clock::Real().Now() + timeout));
  if (change) change(*context);
  inference::ModelInferResponse response;
  RETURN_IF_ERROR(FromGrpcStatus(inference_->ModelInfer(context.get(), request, &response)));
  return response;
}

inference::ModelInferRequest WorkerTest::RequestFor(const std::vector<float>& row,
                                                    const std::string& deployment) {
  inference::ModelInferRequest request;
  request.set_model_name(deployment);
  auto& input = *request.add_inputs();
  input.set_name("x");
  input.set_datatype("FP32");
  input.add_shape(1);
  input.add_shape(static_cast<int64_t>(row.size()));
  request.add_raw_input_contents(row.data(), row.size() * sizeof(float));
  return request;
}

std::vector<float> Floats(const inference::ModelInferResponse& response) {
  EXPECT_EQ(response.raw_output_contents_size(), 1);
  if (response.raw_output_contents_size() != 1) return {};
  const std::string& bytes = response.raw_output_contents(0);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace slipway::worker
