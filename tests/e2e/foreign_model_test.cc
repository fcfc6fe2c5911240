// Models that other frameworks made, by the command line: uploaded, deployed, called, refused.

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "common/tensor/safetensors.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"
#include "tests/support/places.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ForeignModelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    platform_ = new Platform();
    ASSERT_TRUE(platform_->Start().ok()) << platform_->Logs();
    world_ = new World(*platform_, "acme");
    ASSERT_TRUE(world_->status().ok()) << world_->status() << platform_->Logs();
  }
  static void TearDownTestSuite() {
    delete world_;
    delete platform_;
  }
  void TearDown() override {
    if (HasFailure()) std::cerr << platform_->Logs();
  }

  static std::filesystem::path Fixture(const std::string& name) {
    return SourceFile("tests/fixtures/models/" + name);
  }
  static std::vector<Tensor> Read(const std::filesystem::path& file) {
    return SafetensorsFile::Open(file, SafetensorsFile::Access::kRead).value().tensors();
  }
  static std::vector<float> Floats(const Tensor& tensor, size_t count) {
    std::vector<float> values(count);
    std::memcpy(values.data(), tensor.data().data(), count * sizeof(float));
    return values;
  }

  static Platform* platform_;
  static World* world_;
  const TempDir dir_;
};

Platform* ForeignModelTest::platform_ = nullptr;
World* ForeignModelTest::world_ = nullptr;

TEST_F(ForeignModelTest, IsUploadedDeployedAndAnswersAsItsFrameworkDoes) {
  for (const std::string format : {"onnx", "tensorflow", "paddle"}) {
    SCOPED_TRACE(format);
    ASSERT_TRUE(
        world_->Cli({"model", "upload", "digits-" + format, Fixture(format), "--format", format}))
        << world_->Output();
    ASSERT_TRUE(world_->Cli({"deploy", "create", format, "--model", "digits-" + format, "--version",
                             "1", "--wait", "--timeout", "3m"}))
        << world_->Output();

    // Nobody said what it takes: the worker found out, and the gateway tells.
    json metadata;
    ASSERT_TRUE(Eventually([&] {
      metadata = world_->owner().Get("/v2/models/" + format).json();
      return !metadata.value("inputs", json::array()).empty();
    })) << metadata;
    EXPECT_EQ(metadata["inputs"][0]["name"], "picture");
    EXPECT_EQ(metadata["inputs"][0]["datatype"], "FP32");
    const json deployment = world_->owner().Get(world_->Path("deployments/" + format)).json();
    EXPECT_EQ(deployment["facts"]["platform"], "slipway_openvino") << deployment;

    const Tensor sample = Read(Fixture(format) / "samples.safetensors")[0];
    json shape = sample.shape().dims();
    shape[0] = 1;
    const Answer answer = world_->owner().Post("/v2/models/" + format + "/infer",
                                               {{"inputs",
                                                 {{{"name", "picture"},
                                                   {"datatype", "FP32"},
                                                   {"shape", shape},
                                                   {"data", Floats(sample, 64)}}}}});
    ASSERT_TRUE(answer.ok()) << answer.body;
    const auto answers = Read(Fixture(format) / "answers.safetensors");
    const std::vector<float> expected = Floats(answers.back(), 10);  // the probabilities
    const json output = answer.json()["outputs"][0];
    ASSERT_EQ(output["data"].size(), expected.size()) << output;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(output["data"][i].get<float>(), expected[i], 1e-5);
    }
  }
  // A worker that all tenants share has none of it.
  EXPECT_FALSE(std::filesystem::is_empty(platform_->data_dir() + "/worker/tenants/acme/blobs"));
  EXPECT_TRUE(std::filesystem::is_empty(platform_->data_dir() + "/worker/blobs"));
}

TEST_F(ForeignModelTest, ABrokenFileNeverServesAndItsReasonCanBeRead) {
  ASSERT_TRUE(WriteFileAtomically(dir_ / "model.onnx", "this is no model").ok());
  ASSERT_TRUE(world_->Cli({"model", "upload", "broken", dir_ / "model.onnx", "--format", "onnx"}))
      << world_->Output();
  EXPECT_FALSE(
      world_->Cli({"deploy", "create", "broken", "--model", "broken", "--version", "1", "--wait"}));
  EXPECT_THAT(world_->Output(), HasSubstr("model.onnx: is not an ONNX model"));
  const Answer answer = world_->owner().Post(
      "/v2/models/broken/infer",
      {{"inputs", {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {1, 1}}, {"data", {1.0}}}}}});
  EXPECT_FALSE(answer.ok());
}

// examples/pump, as its first lines say.
TEST_F(ForeignModelTest, AModelThatKeepsAStateFindsTheFaultsInAStream) {
  ASSERT_TRUE(world_->Cli({"model", "upload", "pump", Fixture("pump") / "model.onnx", "--format",
                           "onnx", "--state", "mean=new_mean", "--state", "variance=new_variance",
                           "--state", "count=new_count"}))
      << world_->Output();
  EXPECT_THAT(world_->Output(), HasSubstr("new_mean -> mean"));
  ASSERT_TRUE(world_->Cli({"deploy", "create", "pump", "--model", "pump", "--version", "1",
                           "--wait", "--sequence-idle", "10m", "--timeout", "3m"}))
      << world_->Output();
  // Nobody said what it takes but for its states.
  ASSERT_TRUE(Eventually([&] {
    const json metadata = world_->owner().Get("/v2/models/pump").json();
    return metadata.value("inputs", json::array()).size() == 1;
  }));
  ASSERT_TRUE(world_->Run("/bin/bash", {SourceFile("examples/pump/watch")})) << world_->Output();
  EXPECT_THAT(world_->Output(), HasSubstr("second 120: 23 deviations off"));
  EXPECT_THAT(world_->Output(), HasSubstr("second 200: 23 deviations off"));
  EXPECT_THAT(world_->Output(), HasSubstr("second 260: 9 deviations off"));
  int faults = 0;
  const std::string output = world_->Output();
  for (size_t at = 0; (at = output.find(" deviations off", at)) != std::string::npos; ++at)
    ++faults;
  EXPECT_EQ(faults, 3) << output;

  const auto step = [&](bool start) {
    return world_->owner().Post("/v2/models/pump/infer",
                                {{"parameters", {{"sequence_id", 7}, {"sequence_start", start}}},
                                 {"inputs",
                                  {{{"name", "reading"},
                                    {"datatype", "FP32"},
                                    {"shape", {1, 4}},
                                    {"data", {61, 4, 2, 11}}}}}});
  };
  EXPECT_TRUE(step(true).ok());
  EXPECT_TRUE(step(false).ok());
  // That for all tenants and this tenant's own: the states are gone with it, and that is said.
  EXPECT_TRUE(platform_->KillService("worker").ok());
  EXPECT_TRUE(platform_->KillService("worker").ok());
  Answer lost;
  EXPECT_TRUE(Eventually([&] {
    lost = step(false);
    return lost.status == 400;
  })) << lost.status
      << lost.body;
  EXPECT_THAT(lost.body, HasSubstr("sequence 7 is not known"));
  EXPECT_TRUE(step(true).ok());
  EXPECT_TRUE(step(false).ok());
}

TEST_F(ForeignModelTest, ARuntimeThatCannotRunItIsRefused) {
  ASSERT_TRUE(world_->Cli({"model", "upload", "digits", Fixture("onnx"), "--format", "onnx"}))
      << world_->Output();
  EXPECT_FALSE(world_->Cli({"deploy", "create", "by-torch", "--model", "digits", "--version", "1",
                            "--runtime", "torch", "--wait"}));
  EXPECT_THAT(world_->Output(),
              HasSubstr("the runtime \"torch\" runs artifacts of format \"slipway\""));
}

}  // namespace
}  // namespace slipway::e2e
