// The calls of the Open Inference Protocol beside a plain inference, and tensors of every
// datatype, over gRPC at the worker, with a model that answers its inputs.

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "gmock/gmock.h"
#include "tests/integration/services/inference/worker_fixture.h"
#include "tests/support/serving/identity_runtime.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Stream =
    grpc::ClientReaderWriter<inference::ModelInferRequest, inference::ModelStreamInferResponse>;

std::vector<TensorSpec> OneOfEachType() {
  std::vector<TensorSpec> tensors;
  for (const DataType type : kAllDataTypes) {
    tensors.push_back({"in_" + std::string(DataTypeName(type)), type, {-1, 2}});
  }
  return tensors;
}

class ProtocolTest : public WorkerTest {
 protected:
  void Serve(const std::vector<TensorSpec>& tensors, bool shared_memory = true) {
    StartWorker(runtime_, /*instances=*/2, /*max_queue=*/64, shared_memory);
    auto version = AddIdentityVersion(registry_, kVersion1, tensors);
    version.add_labels("left");
    ASSERT_EQ(LoadAndAwait(version).state(), v1::LoadedModel::READY);
  }
  void ServeFloats() { Serve({{"x", DataType::kFp32, {-1, 2}}}); }

  template <class Request, class Response>
  absl::Status Call(grpc::Status (inference::GRPCInferenceService::Stub::*method)(
                        grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response,
                    const std::string& tenant = "acme") {
    const auto context = GatewayContext(tenant);
    return FromGrpcStatus((inference().*method)(context.get(), request, &response));
  }

  std::unique_ptr<Stream> Open() {
    stream_context_ = GatewayContext();
    return inference().ModelStreamInfer(stream_context_.get());
  }

  IdentityRuntime runtime_;
  std::unique_ptr<grpc::ClientContext> stream_context_;
};

using Stub = inference::GRPCInferenceService::Stub;

TEST_F(ProtocolTest, RawTensorsOfEveryDatatypeComeBackBitForBit) {
  Serve(OneOfEachType());
  inference::ModelInferRequest request;
  request.set_model_name(kShoes);
  for (const TensorSpec& spec : OneOfEachType()) {
    auto& input = *request.add_inputs();
    input.set_name(spec.name);
    input.set_datatype(std::string(DataTypeName(spec.dtype)));
    input.add_shape(3);
    input.add_shape(2);
    std::string bytes;
    if (spec.dtype == DataType::kBytes) {
      bytes = EncodeTexts({"", "a", std::string("\0\xff", 2), "long " + std::string(70'000, 'x'),
                           "\xc3\xa9", "end"});
    } else {
      // Not only bits that are numbers.
      bytes = RandomBytes(6 * ElementSize(spec.dtype));
    }
    request.add_raw_input_contents(bytes);
  }
  const auto response = Infer(request);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->outputs_size(), request.inputs_size());
  for (int i = 0; i < request.inputs_size(); ++i) {
    EXPECT_EQ(response->outputs(i).name(), request.inputs(i).name());
    EXPECT_EQ(response->outputs(i).datatype(), request.inputs(i).datatype());
    EXPECT_EQ(response->raw_output_contents(i), request.raw_input_contents(i))
        << request.inputs(i).datatype();
  }
}

TEST_F(ProtocolTest, AStreamAnswersInTheOrderOfItsRequests) {
  ServeFloats();
  const auto stream = Open();
  // More than are in flight at once.
  constexpr int kRequests = 100;
  for (int i = 0; i < kRequests; ++i) {
    auto request = RequestFor({float(i), 0});
    request.set_id(std::to_string(i));
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(stream->Read(&response)) << i;
    EXPECT_EQ(response.error_message(), "");
    EXPECT_EQ(response.infer_response().id(), std::to_string(i));
    EXPECT_THAT(Floats(response.infer_response()), ElementsAre(i, 0));
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ProtocolTest, AStreamGoesOnAfterARequestThatFails) {
  ServeFloats();
  const auto stream = Open();
  auto bad = RequestFor({1, 2, 3});
  bad.set_id("bad");
  ASSERT_TRUE(stream->Write(bad));
  ASSERT_TRUE(stream->Write(RequestFor({1, 2}, "tenants/acme/deployments/none")));
  ASSERT_TRUE(stream->Write(RequestFor({1, 2})));
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.error_message(), HasSubstr("inputs.x.shape"));
  EXPECT_EQ(response.infer_response().id(), "bad");
  EXPECT_EQ(response.infer_response().outputs_size(), 0);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(response.error_message(), HasSubstr("not found"));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_message(), "");
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ProtocolTest, AStreamsLastResponseIsMarkedWhereTheCallerAsks) {
  ServeFloats();
  const auto stream = Open();
  auto request = RequestFor({1, 2});
  (*request.mutable_parameters())["triton_enable_empty_final_response"].set_bool_param(true);
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.infer_response().parameters().at("triton_final_response").bool_param());
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ProtocolTest, ACancelledStreamEnds) {
  ServeFloats();
  const auto stream = Open();
  ASSERT_TRUE(stream->Write(RequestFor({1, 2})));
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  stream_context_->TryCancel();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Infer(RequestFor({1, 2})).ok());
}

TEST_F(ProtocolTest, TellsAModelsConfiguration) {
  ServeFloats();
  inference::ModelConfigRequest request;
  request.set_name(kShoes);
  inference::ModelConfigResponse response;
  ASSERT_TRUE(Call(&Stub::ModelConfig, request, response).ok());
  EXPECT_EQ(response.config().name(), kShoes);
  EXPECT_EQ(response.config().input(0).name(), "x");
  EXPECT_THAT(response.config().input(0).dims(), ElementsAre(2));
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::ModelConfig, request, response, "other")));
}

TEST_F(ProtocolTest, CountsWhatAModelHasDone) {
  ServeFloats();
  ASSERT_TRUE(Infer(RequestFor({1, 2})).ok());
  ASSERT_FALSE(Infer(RequestFor({1, 2, 3})).ok());
  inference::ModelStatisticsRequest request;
  inference::ModelStatisticsResponse response;
  ASSERT_TRUE(Call(&Stub::ModelStatistics, request, response).ok());
  ASSERT_EQ(response.model_stats_size(), 1);
  const inference::ModelStatistics& statistics = response.model_stats(0);
  EXPECT_EQ(statistics.name(), kShoes);
  EXPECT_EQ(statistics.version(), "1");
  EXPECT_EQ(statistics.inference_count(), 1u);
  EXPECT_EQ(statistics.inference_stats().success().count(), 1u);
  EXPECT_GT(statistics.inference_stats().success().ns(), 0u);
  EXPECT_EQ(statistics.inference_stats().fail().count(), 1u);
  EXPECT_GT(statistics.last_inference(), 0u);
  request.set_name(kShoes);
  request.set_version("1");
  response.Clear();
  ASSERT_TRUE(Call(&Stub::ModelStatistics, request, response).ok());
  EXPECT_EQ(response.model_stats_size(), 1);
  request.set_version("2");
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::ModelStatistics, request, response)));
  // Another tenant's models are not there.
  request.Clear();
  response.Clear();
  ASSERT_TRUE(Call(&Stub::ModelStatistics, request, response, "other").ok());
  EXPECT_EQ(response.model_stats_size(), 0);
}

TEST_F(ProtocolTest, ListsItsModelsToTheirTenant) {
  ServeFloats();
  inference::RepositoryIndexRequest request;
  inference::RepositoryIndexResponse response;
  ASSERT_TRUE(Call(&Stub::RepositoryIndex, request, response).ok());
  ASSERT_EQ(response.models_size(), 1);
  EXPECT_EQ(response.models(0).name(), kShoes);
  EXPECT_EQ(response.models(0).version(), "1");
  EXPECT_EQ(response.models(0).state(), "READY");
  response.Clear();
  ASSERT_TRUE(Call(&Stub::RepositoryIndex, request, response, "other").ok());
  EXPECT_EQ(response.models_size(), 0);
}

TEST_F(ProtocolTest, SaysWhyAModelIsNotReady) {
  StartWorker(runtime_);
  auto broken = AddIdentityVersion(registry_, kVersion1, {{"x", DataType::kFp32, {-1, 2}}});
  registry_.SpoilBlob(broken.artifact().files(1).digest(), "spoilt");
  ASSERT_EQ(LoadAndAwait(broken).state(), v1::LoadedModel::FAILED);
  inference::RepositoryIndexRequest request;
  inference::RepositoryIndexResponse response;
  ASSERT_TRUE(Call(&Stub::RepositoryIndex, request, response).ok());
  ASSERT_EQ(response.models_size(), 1);
  EXPECT_EQ(response.models(0).state(), "UNAVAILABLE");
  EXPECT_NE(response.models(0).reason(), "");
  request.set_ready(true);
  response.Clear();
  ASSERT_TRUE(Call(&Stub::RepositoryIndex, request, response).ok());
  EXPECT_EQ(response.models_size(), 0);
}

TEST_F(ProtocolTest, LoadingIsTheControllers) {
  ServeFloats();
  inference::RepositoryModelLoadResponse loaded;
  EXPECT_TRUE(absl::IsUnimplemented(
      Call(&Stub::RepositoryModelLoad, inference::RepositoryModelLoadRequest(), loaded)));
  inference::RepositoryModelUnloadResponse unloaded;
  EXPECT_TRUE(absl::IsUnimplemented(
      Call(&Stub::RepositoryModelUnload, inference::RepositoryModelUnloadRequest(), unloaded)));
}

TEST_F(ProtocolTest, ClassifiesWhereTheCallerAsks) {
  ServeFloats();
  auto request = RequestFor({0.25F, 0.75F});
  auto& output = *request.add_outputs();
  output.set_name("x");
  (*output.mutable_parameters())["classification"].set_int64_param(2);
  const auto response = Infer(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->outputs(0).datatype(), "BYTES");
  EXPECT_THAT(response->outputs(0).shape(), ElementsAre(1, 2));
  EXPECT_EQ(response->raw_output_contents(0), EncodeTexts({"0.750000:1", "0.250000:0:left"}));
}

// Two floats in, two floats out, by an object of shared memory.
class SharedMemoryCallTest : public ProtocolTest {
 protected:
  SharedMemoryCallTest() {
    fd_ = ::shm_open(key_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_EQ(::ftruncate(fd_, 64), 0);
    const float row[] = {3, 4};
    EXPECT_EQ(::pwrite(fd_, row, sizeof(row), 0), ssize_t(sizeof(row)));
    request_ = RequestFor({0, 0});
    request_.clear_raw_input_contents();
    auto& in = *request_.mutable_inputs(0)->mutable_parameters();
    in["shared_memory_region"].set_string_param("region");
    in["shared_memory_byte_size"].set_int64_param(8);
    auto& output = *request_.add_outputs();
    output.set_name("x");
    auto& out = *output.mutable_parameters();
    out["shared_memory_region"].set_string_param("region");
    out["shared_memory_byte_size"].set_int64_param(8);
    out["shared_memory_offset"].set_int64_param(32);
  }
  ~SharedMemoryCallTest() override {
    ::close(fd_);
    ::shm_unlink(key_.c_str());
  }

  absl::Status Register(const std::string& tenant = "acme") {
    inference::SystemSharedMemoryRegisterRequest request;
    request.set_name("region");
    request.set_key(key_);
    request.set_byte_size(64);
    inference::SystemSharedMemoryRegisterResponse response;
    return Call(&Stub::SystemSharedMemoryRegister, request, response, tenant);
  }

  const std::string key_ = "/acme." + RandomHex(8);
  int fd_;
  inference::ModelInferRequest request_;
};

TEST_F(SharedMemoryCallTest, TensorsComeFromItAndGoToIt) {
  ServeFloats();
  EXPECT_EQ(FieldOf(Infer(request_).status()), "inputs.x.parameters.shared_memory_region");
  ASSERT_TRUE(Register().ok());
  const auto response = Infer(request_);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(response->raw_output_contents(), ElementsAre(""));
  EXPECT_EQ(response->outputs(0).parameters().at("shared_memory_byte_size").int64_param(), 8);
  float row[2] = {};
  ASSERT_EQ(::pread(fd_, row, sizeof(row), 32), ssize_t(sizeof(row)));
  EXPECT_THAT(row, ElementsAre(3, 4));

  inference::SystemSharedMemoryStatusResponse status;
  ASSERT_TRUE(Call(&Stub::SystemSharedMemoryStatus, {}, status).ok());
  EXPECT_EQ(status.regions().at("region").key(), key_);
  EXPECT_EQ(status.regions().at("region").byte_size(), 64u);
  inference::SystemSharedMemoryUnregisterResponse gone;
  ASSERT_TRUE(Call(&Stub::SystemSharedMemoryUnregister, {}, gone).ok());
  EXPECT_FALSE(Infer(request_).ok());
}

TEST_F(SharedMemoryCallTest, AnotherTenantReachesNeitherRegionNorObject) {
  ServeFloats();
  ASSERT_TRUE(Register().ok());
  EXPECT_EQ(FieldOf(Register("other")), "key");
  inference::SystemSharedMemoryStatusResponse status;
  ASSERT_TRUE(Call(&Stub::SystemSharedMemoryStatus, {}, status, "other").ok());
  EXPECT_EQ(status.regions_size(), 0);
}

TEST_F(SharedMemoryCallTest, IsNotOfferedUnlessTheOperatorSaysSo) {
  Serve({{"x", DataType::kFp32, {-1, 2}}}, /*shared_memory=*/false);
  EXPECT_TRUE(absl::IsUnimplemented(Register()));
  EXPECT_EQ(FieldOf(Infer(request_).status()), "inputs.x.parameters.shared_memory_region");
}

}  // namespace
}  // namespace slipway::worker
