// The conformance checklist of the Open Inference Protocol, over gRPC at the worker, with a model
// of our own made by the torch runtime.

#include <grpcpp/grpcpp.h>

#include <memory>

#include "gmock/gmock.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/integration/services/inference/worker_fixture.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr float kTolerance = 1e-5F;

// One torch runtime a program: its thread settings are the process's.
ModelRuntime& Torch() {
  static const auto runtime = *MakeTorchRuntime({});
  return *runtime;
}

class InferenceContractTest : public WorkerTest {
 protected:
  InferenceContractTest() {
    StartWorker(Torch());
    EXPECT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, artifact_)).state(),
              v1::LoadedModel::READY);
  }
  void ExpectInvalid(const inference::ModelInferRequest& request, const std::string& field) {
    const auto response = Infer(request);
    EXPECT_TRUE(absl::IsInvalidArgument(response.status())) << response.status();
    EXPECT_EQ(FieldOf(response.status()), field) << response.status();
    // And it serves on.
    EXPECT_TRUE(Infer(RequestFor(row_)).ok());
  }

  const TestArtifact artifact_ = SmallMlp(1);
  const std::vector<float> row_ = {0.5F, -1, 2, 0.25F};
};

TEST_F(InferenceContractTest, AnswersWhatTheModelSays) {
  const auto response = Infer(RequestFor(row_));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->model_name(), kShoes);
  EXPECT_EQ(response->model_version(), "1");
  ASSERT_EQ(response->outputs_size(), 1);
  EXPECT_EQ(response->outputs(0).name(), "probabilities");
  EXPECT_EQ(response->outputs(0).datatype(), "FP32");
  EXPECT_THAT(response->outputs(0).shape(), ElementsAre(1, 3));
  EXPECT_THAT(Floats(*response), Pointwise(FloatNear(kTolerance), SmallMlpAnswer(artifact_, row_)));
}

TEST_F(InferenceContractTest, AnswersEachRowOfABatch) {
  inference::ModelInferRequest request = RequestFor({0, 1, 2, 3, 4, 5, 6, 7});
  request.mutable_inputs(0)->set_shape(0, 2);
  request.mutable_inputs(0)->set_shape(1, 4);
  const auto response = Infer(request);
  ASSERT_TRUE(response.ok()) << response.status();
  std::vector<float> expected = SmallMlpAnswer(artifact_, {0, 1, 2, 3});
  for (const float value : SmallMlpAnswer(artifact_, {4, 5, 6, 7})) expected.push_back(value);
  EXPECT_THAT(Floats(*response), Pointwise(FloatNear(kTolerance), expected));
}

TEST_F(InferenceContractTest, TypedContentsAnswerTheSameAsRawOnes) {
  inference::ModelInferRequest typed = RequestFor(row_);
  typed.clear_raw_input_contents();
  for (const float value : row_) {
    typed.mutable_inputs(0)->mutable_contents()->add_fp32_contents(value);
  }
  const auto response = Infer(typed);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->raw_output_contents(0), Infer(RequestFor(row_))->raw_output_contents(0));
}

TEST_F(InferenceContractTest, EchoesTheId) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.set_id("my-id/1");
  EXPECT_EQ(Infer(request)->id(), "my-id/1");
  EXPECT_EQ(Infer(RequestFor(row_))->id(), "");
}

TEST_F(InferenceContractTest, ReportsHowLongTheModelRan) {
  const auto response = Infer(RequestFor(row_));
  ASSERT_TRUE(response.ok());
  ASSERT_TRUE(response->parameters().contains("slipway_compute_micros"));
  const int64_t micros = response->parameters().at("slipway_compute_micros").int64_param();
  EXPECT_GT(micros, 0);
  EXPECT_LT(micros, 10'000'000);
}

TEST_F(InferenceContractTest, AnswersOnlyTheOutputsThatAreNamed) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.add_outputs()->set_name("probabilities");
  EXPECT_EQ(Infer(request)->outputs_size(), 1);
  request.mutable_outputs(0)->set_name("logits");
  ExpectInvalid(request, "outputs.logits");
}

TEST_F(InferenceContractTest, RefusesAMissingInput) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.clear_inputs();
  request.clear_raw_input_contents();
  ExpectInvalid(request, "inputs.x");
}

TEST_F(InferenceContractTest, RefusesAnExtraInput) {
  inference::ModelInferRequest request = RequestFor(row_);
  *request.add_inputs() = request.inputs(0);
  request.mutable_inputs(1)->set_name("y");
  *request.add_raw_input_contents() = request.raw_input_contents(0);
  ExpectInvalid(request, "inputs.y");
}

TEST_F(InferenceContractTest, RefusesAnUnknownInput) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.mutable_inputs(0)->set_name("pixels");
  ExpectInvalid(request, "inputs.pixels");
}

TEST_F(InferenceContractTest, RefusesAWrongDatatype) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.mutable_inputs(0)->set_datatype("INT32");
  ExpectInvalid(request, "inputs.x.datatype");
}

TEST_F(InferenceContractTest, RefusesAWrongRank) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.mutable_inputs(0)->add_shape(1);
  ExpectInvalid(request, "inputs.x.shape");
}

TEST_F(InferenceContractTest, RefusesAWrongShape) {
  ExpectInvalid(RequestFor({1, 2, 3}), "inputs.x.shape");
}

TEST_F(InferenceContractTest, RefusesNegativeAndZeroDimensions) {
  for (const int64_t dim : {int64_t{-1}, int64_t{0}, INT64_MIN}) {
    inference::ModelInferRequest request = RequestFor(row_);
    request.mutable_inputs(0)->set_shape(0, dim);
    ExpectInvalid(request, "inputs.x.shape");
  }
}

TEST_F(InferenceContractTest, RefusesAnElementCountThatOverflows) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.mutable_inputs(0)->set_shape(0, (int64_t{1} << 60) + 2);
  ExpectInvalid(request, "inputs.x.shape");
  request.mutable_inputs(0)->set_shape(0, 16);
  request.mutable_inputs(0)->set_shape(1, (int64_t{1} << 60) + 2);
  ExpectInvalid(request, "inputs.x.shape");
}

TEST_F(InferenceContractTest, RefusesAByteSizeThatDoesNotFitTheShape) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.mutable_raw_input_contents(0)->push_back('x');
  ExpectInvalid(request, "inputs.x");
  request.mutable_raw_input_contents(0)->resize(15);
  ExpectInvalid(request, "inputs.x");
}

TEST_F(InferenceContractTest, RefusesRawAndTypedContentsTogether) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
  ExpectInvalid(request, "inputs.x.contents");
}

TEST_F(InferenceContractTest, RefusesARawCountThatDiffersFromTheInputs) {
  inference::ModelInferRequest request = RequestFor(row_);
  request.add_raw_input_contents("x");
  ExpectInvalid(request, "raw_input_contents");
}

TEST_F(InferenceContractTest, ChoosesByVersion) {
  const TestArtifact second = SmallMlp(2);
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion2, second)).state(), v1::LoadedModel::READY);
  inference::ModelInferRequest request = RequestFor(row_);
  const struct {
    const char* version;
    const char* number;
    const TestArtifact& artifact;
  } rows[] = {
      {"", "2", second},           {"1", "1", artifact_},    {"2", "2", second},
      {kVersion1, "1", artifact_}, {kVersion2, "2", second},
  };
  for (const auto& row : rows) {
    request.set_model_version(row.version);
    const auto response = Infer(request);
    ASSERT_TRUE(response.ok()) << row.version << response.status();
    EXPECT_EQ(response->model_version(), row.number);
    EXPECT_THAT(Floats(*response),
                Pointwise(FloatNear(kTolerance), SmallMlpAnswer(row.artifact, row_)));
  }
  request.set_model_version("3");
  EXPECT_TRUE(absl::IsNotFound(Infer(request).status()));
}

TEST_F(InferenceContractTest, StrangeModelNamesAreNotFound) {
  for (const std::string& name :
       {std::string(), std::string("../"), std::string("tenants/acme/deployments/../shoes"),
        std::string("tenants/acme/deployments/%2e%2e%2fshoes"), std::string("shoes"),
        std::string(10'000, 'a')}) {
    inference::ModelInferRequest request = RequestFor(row_, name);
    const auto response = Infer(request);
    EXPECT_TRUE(absl::IsNotFound(response.status())) << response.status();
    EXPECT_LT(response.status().message().size(), 300u);
  }
}

TEST_F(InferenceContractTest, AnotherTenantsDeploymentReadsLikeAnAbsentOne) {
  const auto theirs = Infer(RequestFor(row_), "other");
  ASSERT_TRUE(Unload(kShoes, kVersion1).ok());
  const auto absent = Infer(RequestFor(row_));
  EXPECT_TRUE(absl::IsNotFound(theirs.status()));
  EXPECT_EQ(theirs.status(), absent.status());
}

TEST_F(InferenceContractTest, TellsItsHealth) {
  const auto live = GatewayContext();
  inference::ServerLiveResponse is_live;
  ASSERT_TRUE(inference().ServerLive(live.get(), {}, &is_live).ok());
  EXPECT_TRUE(is_live.live());
  for (const bool ready : {true, false}) {
    ready_ = ready;
    const auto context = GatewayContext();
    inference::ServerReadyResponse is_ready;
    ASSERT_TRUE(inference().ServerReady(context.get(), {}, &is_ready).ok());
    EXPECT_EQ(is_ready.ready(), ready);
  }
}

TEST_F(InferenceContractTest, TellsWhetherAModelAndAVersionAreReady) {
  const auto ready = [&](const std::string& name, const std::string& version) {
    const auto context = GatewayContext();
    inference::ModelReadyRequest request;
    request.set_name(name);
    request.set_version(version);
    inference::ModelReadyResponse response;
    const grpc::Status status = inference().ModelReady(context.get(), request, &response);
    return status.ok() ? (response.ready() ? "ready" : "not ready") : "not found";
  };
  EXPECT_STREQ(ready(kShoes, ""), "ready");
  EXPECT_STREQ(ready(kShoes, "1"), "ready");
  EXPECT_STREQ(ready(kShoes, "2"), "not found");
  EXPECT_STREQ(ready("tenants/acme/deployments/boots", ""), "not found");
  auto broken = registry_.AddVersion(kVersion2, SmallMlp(2));
  registry_.SpoilBlob(broken.artifact().files(1).digest(), "spoilt");
  EXPECT_EQ(LoadAndAwait(broken).state(), v1::LoadedModel::FAILED);
  EXPECT_STREQ(ready(kShoes, "2"), "not ready");
  EXPECT_STREQ(ready(kShoes, ""), "ready");
}

TEST_F(InferenceContractTest, TellsAModelsMetadata) {
  const auto context = GatewayContext();
  inference::ModelMetadataRequest request;
  request.set_name(kShoes);
  inference::ModelMetadataResponse response;
  ASSERT_TRUE(inference().ModelMetadata(context.get(), request, &response).ok());
  EXPECT_EQ(response.name(), kShoes);
  EXPECT_THAT(response.versions(), ElementsAre("1"));
  EXPECT_EQ(response.platform(), "slipway_torch");
  ASSERT_EQ(response.inputs_size(), 1);
  EXPECT_EQ(response.inputs(0).name(), "x");
  EXPECT_EQ(response.inputs(0).datatype(), "FP32");
  EXPECT_THAT(response.inputs(0).shape(), ElementsAre(-1, 4));
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_EQ(response.outputs(0).name(), "probabilities");
  EXPECT_THAT(response.outputs(0).shape(), ElementsAre(-1, 3));
}

TEST_F(InferenceContractTest, TellsTheServersMetadata) {
  const auto context = GatewayContext();
  inference::ServerMetadataResponse response;
  ASSERT_TRUE(inference().ServerMetadata(context.get(), {}, &response).ok());
  EXPECT_EQ(response.name(), "slipway");
  EXPECT_FALSE(response.version().empty());
}

TEST_F(InferenceContractTest, MeasuresEachModel) {
  ASSERT_TRUE(Infer(RequestFor(row_)).ok());
  ASSERT_FALSE(Infer(RequestFor({1, 2, 3})).ok());
  const std::string labels =
      "{deployment=\"" + std::string(kShoes) + "\",model_version=\"" + kVersion1 + "\"}";
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("slipway_worker_model_requests_total" + labels + " 2"));
  EXPECT_THAT(text, HasSubstr("slipway_worker_model_failures_total" + labels + " 1"));
  EXPECT_THAT(text, HasSubstr("slipway_worker_model_infer_seconds_count" + labels + " 1"));
  EXPECT_THAT(text, HasSubstr("slipway_worker_model_queue_seconds_count" + labels + " 1"));
}

}  // namespace
}  // namespace slipway::worker
