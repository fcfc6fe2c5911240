// Loads by digest over gRPC, with the torch runtime: what is broken is refused by name, and what
// served before goes on serving.

#include <memory>

#include "gmock/gmock.h"
#include "services/inference/pipeline/pipeline_runtime.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/integration/services/inference/worker_fixture.h"

namespace slipway::worker {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

ModelRuntime& Runtime() {
  static const auto torch = *MakeTorchRuntime({});
  static PipelineRuntime runtime(*torch, Clock::Real());
  return runtime;
}

class LoadingTest : public WorkerTest {
 protected:
  LoadingTest() { StartWorker(Runtime()); }
  void ExpectServes(const TestArtifact& artifact) {
    const auto response = Infer(RequestFor(row_));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_THAT(Floats(*response), Pointwise(FloatNear(1e-5F), SmallMlpAnswer(artifact, row_)));
  }
  // Version 1 serves, then `broken` is loaded as version 2.
  std::string FailureOf(const TestArtifact& broken) {
    EXPECT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, good_)).state(), v1::LoadedModel::READY);
    const v1::LoadedModel report = LoadAndAwait(registry_.AddVersion(kVersion2, broken));
    EXPECT_EQ(report.state(), v1::LoadedModel::FAILED);
    ExpectServes(good_);
    return report.error();
  }

  const TestArtifact good_ = SmallMlp(1);
  const std::vector<float> row_ = {0.5F, -1, 2, 0.25F};
};

TEST_F(LoadingTest, LoadsBesideWhatServes) {
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, good_)).state(), v1::LoadedModel::READY);
  const TestArtifact second = SmallMlp(2);
  const v1::LoadedModel report = LoadAndAwait(registry_.AddVersion(kVersion2, second));
  EXPECT_EQ(report.state(), v1::LoadedModel::READY);
  // 4 * 8 + 8 + 8 * 3 + 3 weights.
  EXPECT_EQ(report.memory_bytes(), 67 * 4);
  ExpectServes(second);
  EXPECT_EQ(List().size(), 2u);
  ASSERT_TRUE(Unload(kShoes, kVersion2).ok());
  ExpectServes(good_);
}

TEST_F(LoadingTest, APipelineAnswersAsItsStepsDoInTurn) {
  constexpr char kFirst[] = "tenants/acme/models/first/versions/1";
  constexpr char kSecond[] = "tenants/acme/models/second/versions/1";
  LoadedModels::Versions steps;
  *steps.Add() = registry_.AddVersion(kFirst, good_);
  *steps.Add() = registry_.AddVersion(
      kSecond, MakeTestArtifact(R"({"type": "mlp", "hidden": [8]})", "x", {3}, 2, 7));
  slipway::registry::v1::ModelVersion version;
  version.set_name(kVersion1);
  version.set_origin(slipway::registry::v1::ModelVersion::TRAINED);
  version.mutable_artifact()->set_format("pipeline");
  version.mutable_pipeline()->add_inputs("x");
  for (const auto& [name, model, wire] :
       {std::tuple("a", kFirst, "inputs.x"), std::tuple("b", kSecond, "a.probabilities")}) {
    auto& step = *version.mutable_pipeline()->add_steps();
    step.set_name(name);
    step.set_model_version(model);
    (*step.mutable_inputs())["x"] = wire;
  }
  (*version.mutable_pipeline()->mutable_outputs())["y"] = "b.probabilities";
  ASSERT_TRUE(Load(kShoes, version, {}, steps).ok());
  const v1::LoadedModel report = Await(kVersion1);
  ASSERT_EQ(report.state(), v1::LoadedModel::READY) << report.error();
  EXPECT_EQ(report.facts().platform(), "slipway_pipeline");

  constexpr char kOne[] = "tenants/acme/deployments/one";
  constexpr char kTwo[] = "tenants/acme/deployments/two";
  ASSERT_TRUE(Load(kOne, steps[0]).ok());
  ASSERT_TRUE(Load(kTwo, steps[1]).ok());
  Await(kFirst);
  Await(kSecond);
  const auto half_way = Infer(RequestFor(row_, kOne));
  ASSERT_TRUE(half_way.ok()) << half_way.status();
  const auto expected = Infer(RequestFor(Floats(*half_way), kTwo));
  ASSERT_TRUE(expected.ok()) << expected.status();
  const auto answer = Infer(RequestFor(row_));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->outputs(0).name(), "y");
  EXPECT_EQ(answer->raw_output_contents(0), expected->raw_output_contents(0));
}

TEST_F(LoadingTest, AWorkerThatIsToStopShowsItsModelsAsGoingAndServesThemOn) {
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, good_)).state(), v1::LoadedModel::READY);
  ready_ = false;
  ASSERT_EQ(List().size(), 1u);
  EXPECT_EQ(List()[0].state(), v1::LoadedModel::UNLOADING);
  ExpectServes(good_);
}

TEST_F(LoadingTest, DownloadsABlobOnceForAllItsModels) {
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, good_)).state(), v1::LoadedModel::READY);
  EXPECT_EQ(registry_.downloads(), 2);
  ASSERT_TRUE(Unload(kShoes, kVersion1).ok());
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion2, good_)).state(), v1::LoadedModel::READY);
  EXPECT_EQ(registry_.downloads(), 2);
}

TEST_F(LoadingTest, RefusesAWrongDigest) {
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, good_)).state(), v1::LoadedModel::READY);
  const auto version = registry_.AddVersion(kVersion2, SmallMlp(2));
  registry_.SpoilBlob(version.artifact().files(1).digest(), SmallMlp(3).weights);
  const v1::LoadedModel report = LoadAndAwait(version);
  EXPECT_EQ(report.state(), v1::LoadedModel::FAILED);
  EXPECT_THAT(report.error(), HasSubstr("model.safetensors: "));
  EXPECT_THAT(report.error(), HasSubstr("arrived with digest"));
  ExpectServes(good_);
}

TEST_F(LoadingTest, RefusesTruncatedWeights) {
  TestArtifact broken = SmallMlp(2);
  broken.weights.resize(broken.weights.size() - 1);
  EXPECT_THAT(FailureOf(broken), HasSubstr("model.safetensors"));
}

TEST_F(LoadingTest, RefusesWeightsWithoutAHeader) {
  TestArtifact broken = SmallMlp(2);
  broken.weights = "short";
  EXPECT_THAT(FailureOf(broken), HasSubstr("model.safetensors"));
}

TEST_F(LoadingTest, RefusesACorruptHeader) {
  TestArtifact broken = SmallMlp(2);
  broken.weights[10] = '\x01';
  EXPECT_THAT(FailureOf(broken), HasSubstr("model.safetensors"));
}

TEST_F(LoadingTest, RefusesWeightsOfAnotherArchitecture) {
  TestArtifact broken = SmallMlp(2);
  broken.weights = MakeTestArtifact(R"({"type": "mlp", "hidden": [9]})", "x", {4}, 3, 1).weights;
  const std::string error = FailureOf(broken);
  EXPECT_THAT(error, HasSubstr("model.safetensors"));
  EXPECT_THAT(error, HasSubstr("[8, 4]"));
}

TEST_F(LoadingTest, RefusesAMalformedDescriptionNamingTheField) {
  TestArtifact broken = SmallMlp(2);
  broken.description.replace(broken.description.find("\"mlp\""), 5, "\"mpl\"");
  const std::string error = FailureOf(broken);
  EXPECT_THAT(error, HasSubstr("architecture.json: "));
  EXPECT_THAT(error, HasSubstr("architecture.type"));
}

TEST_F(LoadingTest, RefusesASignatureThatIsNotTheRegistrys) {
  TestArtifact broken = SmallMlp(2);
  broken.signature.mutable_outputs(0)->set_name("logits");
  EXPECT_THAT(FailureOf(broken), HasSubstr("outputs[0] was registered as logits"));
}

TEST_F(LoadingTest, RefusesAFormatThatItDoesNotRun) {
  auto version = registry_.AddVersion(kVersion1, good_);
  version.mutable_artifact()->set_format("onnx");
  const v1::LoadedModel report = LoadAndAwait(version);
  EXPECT_EQ(report.state(), v1::LoadedModel::FAILED);
  EXPECT_THAT(report.error(), HasSubstr("onnx"));
}

TEST_F(LoadingTest, RefusesAnArtifactThatLacksAFile) {
  auto version = registry_.AddVersion(kVersion1, good_);
  version.mutable_artifact()->mutable_files()->RemoveLast();
  const v1::LoadedModel report = LoadAndAwait(version);
  EXPECT_EQ(report.state(), v1::LoadedModel::FAILED);
  EXPECT_THAT(report.error(), HasSubstr("model.safetensors"));
}

TEST_F(LoadingTest, ReadsOnlyWhatItsTokenNames) {
  // The blobs of version 2, asked for with a token for version 1.
  registry_.AddVersion(kVersion2, SmallMlp(2));
  auto version = registry_.AddVersion(kVersion1, good_);
  *version.mutable_artifact()->mutable_files(1) =
      registry_.AddVersion(kVersion2, SmallMlp(2)).artifact().files(1);
  const v1::LoadedModel report = LoadAndAwait(version);
  EXPECT_EQ(report.state(), v1::LoadedModel::FAILED);
  EXPECT_THAT(report.error(), HasSubstr("was not found"));
}

TEST_F(LoadingTest, RunsAConvolutionalNetworkToo) {
  const TestArtifact cnn =
      MakeTestArtifact(R"({"type": "cnn", "channels": [4]})", "x", {8, 8}, 3, 5);
  ASSERT_EQ(LoadAndAwait(registry_.AddVersion(kVersion1, cnn)).state(), v1::LoadedModel::READY);
  inference::ModelInferRequest request = RequestFor(std::vector<float>(64, 0.5F));
  request.mutable_inputs(0)->clear_shape();
  for (const int64_t dim : {1, 8, 8}) request.mutable_inputs(0)->add_shape(dim);
  const auto response = Infer(request);
  ASSERT_TRUE(response.ok()) << response.status();
  float sum = 0;
  for (const float value : Floats(*response)) sum += value;
  EXPECT_NEAR(sum, 1, 1e-5);
}

}  // namespace
}  // namespace slipway::worker
