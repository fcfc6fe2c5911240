// The cascade of examples/ on real pictures, by the command line: uploaded, trained, put together,
// deployed, called through the gateway, and compared with its steps called one by one.

#include <grpcpp/grpcpp.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "common/idx/idx.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"
#include "tests/support/places.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int64_t kPhotos = 48;
constexpr char kData[] = "/usr/share/datasets/fashion-mnist/";

class PipelineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    platform_ = new Platform();
    ASSERT_TRUE(platform_->Start().ok()) << platform_->Logs();
    world_ = new World(*platform_, "acme");
    ASSERT_TRUE(world_->status().ok()) << world_->status() << platform_->Logs();
    dir_ = new TempDir();
    // As the example says, but with the 10,000 test pictures alone, so that training takes seconds.
    Run({"dataset", "upload", "fashion-mnist",
         fmt::format("test-images={}t10k-images-idx3-ubyte.gz", kData),
         fmt::format("test-labels={}t10k-labels-idx1-ubyte.gz", kData)});
    Run({"train", Shortened("fashion-mnist-mlp.yaml"), "--watch"});
    Run({"train", Shortened("fashion-mnist-cnn.yaml"), "--watch"});
    for (const std::string step : {"prepare", "verdict"}) {
      Run({"model", "upload", "fashion-" + step, "--format", "onnx",
           SourceFile("examples/fashion-mnist-cascade/" + step + ".onnx")});
    }
    Run({"model", "pipeline", "fashion-cascade", Example("fashion-mnist-cascade/pipeline.yaml")});
    Run({"deploy", "create", "cascade", "--model", "fashion-cascade", "--version", "1", "--wait"});
  }
  static void TearDownTestSuite() {
    delete dir_;
    delete world_;
    delete platform_;
  }
  void TearDown() override {
    if (HasFailure()) std::cerr << platform_->Logs();
  }

  static std::string Example(const std::string& name) { return SourceFile("examples/" + name); }

  static std::string Shortened(const std::string& name) {
    std::string text = ReadFile(Example(name)).value();
    for (const auto& [from, to] : {std::pair("inputs: train-images", "inputs: test-images"),
                                   std::pair("targets: train-labels", "targets: test-labels"),
                                   std::pair("accuracy: 0.", "accuracy: 0.0")}) {
      const size_t at = text.find(from);
      EXPECT_NE(at, std::string::npos) << from;
      text.replace(at, std::strlen(from), to);
    }
    const std::string path = *dir_ / name;
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }

  static void Run(const std::vector<std::string>& args) {
    ASSERT_TRUE(world_->Cli(args)) << world_->Output() << platform_->Logs();
  }

  static json Photos() {
    const auto pictures = ReadIdx(std::string(kData) + "t10k-images-idx3-ubyte.gz", "t10k").value();
    json pixels = json::array();
    for (size_t i = 0; i < kPhotos * 28 * 28; ++i) {
      pixels.push_back(static_cast<uint8_t>(pictures.elements[i]));
    }
    return {{"name", "photo"},
            {"datatype", "UINT8"},
            {"shape", {kPhotos, 28, 28}},
            {"data", std::move(pixels)}};
  }

  // The outputs by name.
  static std::map<std::string, json> Infer(const std::string& endpoint, json input) {
    const Answer answer =
        world_->owner().Post("/v2/models/" + endpoint + "/infer", {{"inputs", {std::move(input)}}});
    EXPECT_TRUE(answer.ok()) << endpoint << ": " << answer.body;
    std::map<std::string, json> outputs;
    for (const json& output : answer.json().value("outputs", json::array())) {
      outputs[output["name"]] = output;
    }
    return outputs;
  }

  static json As(const char* name, json tensor) {
    tensor["name"] = name;
    return tensor;
  }
  static json Rows(const json& tensor, const std::vector<size_t>& rows) {
    const size_t all = tensor["shape"][0].get<size_t>();
    const size_t each = tensor["data"].size() / all;
    json part = tensor;
    part["shape"][0] = rows.size();
    part["data"] = json::array();
    for (const size_t row : rows) {
      for (size_t i = 0; i < each; ++i) part["data"].push_back(tensor["data"][row * each + i]);
    }
    return part;
  }

  static Platform* platform_;
  static World* world_;
  static TempDir* dir_;
};

Platform* PipelineTest::platform_ = nullptr;
World* PipelineTest::world_ = nullptr;
TempDir* PipelineTest::dir_ = nullptr;

TEST_F(PipelineTest, AnswersAsItsStepsDoOneByOne) {
  for (const auto& [id, model] :
       {std::pair("prepare", "fashion-prepare"), std::pair("small", "fashion-mnist-mlp"),
        std::pair("large", "fashion-mnist-cnn"), std::pair("verdict", "fashion-verdict")}) {
    Run({"deploy", "create", id, "--model", model, "--version", "1", "--wait"});
  }
  const json image = As("image", Infer("prepare", Photos())["image"]);
  const json small = Infer("small", image)["probabilities"];
  auto expected = Infer("verdict", small);
  expected["probabilities"] = small;
  std::vector<size_t> doubtful;
  for (size_t row = 0; row < kPhotos; ++row) {
    if (expected["confidence"]["data"][row].get<float>() < 0.9F) doubtful.push_back(row);
  }
  // Or there would be nothing to part.
  ASSERT_GT(doubtful.size(), 0u);
  ASSERT_LT(doubtful.size(), static_cast<size_t>(kPhotos));
  const json large = Infer("large", Rows(image, doubtful))["probabilities"];
  auto second = Infer("verdict", large);
  second["probabilities"] = large;
  for (auto& [name, output] : expected) {
    const size_t each = output["data"].size() / kPhotos;
    for (size_t i = 0; i < doubtful.size() * each; ++i) {
      output["data"][doubtful[i / each] * each + i % each] = second[name]["data"][i];
    }
  }

  const auto outputs = Infer("cascade", Photos());
  ASSERT_EQ(outputs.size(), 3u);
  for (const auto& [name, output] : outputs) {
    EXPECT_EQ(output["shape"], expected[name]["shape"]) << name;
    EXPECT_EQ(output["datatype"], expected[name]["datatype"]) << name;
    EXPECT_EQ(output["data"], expected[name]["data"]) << name;
  }
}

TEST_F(PipelineTest, AnswersTheSameOverGrpc) {
  const json photos = Photos();
  inference::ModelInferRequest request;
  request.set_model_name("cascade");
  auto& input = *request.add_inputs();
  input.set_name("photo");
  input.set_datatype("UINT8");
  for (const int64_t dim : {kPhotos, int64_t{28}, int64_t{28}}) input.add_shape(dim);
  for (const json& pixel : photos["data"]) {
    if (request.raw_input_contents().empty()) request.add_raw_input_contents();
    request.mutable_raw_input_contents(0)->push_back(static_cast<char>(pixel.get<uint8_t>()));
  }
  const auto stub = inference::GRPCInferenceService::NewStub(
      grpc::CreateChannel(platform_->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + world_->key());
  inference::ModelInferResponse response;
  const grpc::Status status = stub->ModelInfer(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();

  auto by_json = Infer("cascade", photos);
  ASSERT_EQ(response.outputs_size(), 3);
  for (int i = 0; i < response.outputs_size(); ++i) {
    const std::string& name = response.outputs(i).name();
    const json& values = by_json[name]["data"];
    std::string bytes;
    for (const json& value : values) {
      const auto append = [&bytes](const auto& number) {
        bytes.append(reinterpret_cast<const char*>(&number), sizeof(number));
      };
      name == "label" ? append(value.get<int64_t>()) : append(value.get<float>());
    }
    EXPECT_EQ(response.raw_output_contents(i), bytes) << name;
  }
}

TEST_F(PipelineTest, ItsPicturesMayHaveAnySize) {
  json photo = Photos();
  photo["shape"] = {1, 56, 42};
  photo["data"].erase(photo["data"].begin() + 56 * 42, photo["data"].end());
  EXPECT_EQ(Infer("cascade", photo)["label"]["shape"], json({1}));
  EXPECT_TRUE(world_->Cli({"predict", "cascade", "--images",
                           std::string(kData) + "t10k-images-idx3-ubyte.gz", "--labels",
                           std::string(kData) + "t10k-labels-idx1-ubyte.gz"}))
      << world_->Output();
  EXPECT_THAT(world_->Output(), HasSubstr("of 10 right"));
}

TEST_F(PipelineTest, WhatIsWrongIsRefusedWhenItIsMade) {
  const std::string text = ReadFile(Example("fashion-mnist-cascade/pipeline.yaml")).value();
  const struct {
    const char* from;
    const char* to;
    const char* problem;
  } cases[] = {
      {"{photo: inputs.photo}", "{photo: small.probabilities}",
       "pipeline.steps[0]: steps wait for each other: prepare <- small <- prepare"},
      {"small-verdict.confidence < 0.9", "judge.confidence < 0.9",
       "pipeline.steps[3].when: there is no step \"judge\""},
      {"large-verdict.label | small-verdict.label", "large-verdict.label",
       "pipeline.outputs.label: some rows have no value"},
      {"models/fashion-verdict/versions/1", "models/fashion-verdict/versions/7",
       "models/fashion-verdict/versions/7 was not found"},
      {"models/fashion-verdict/versions/1", "tenants/globex/models/fashion-verdict/versions/1",
       "tenants/globex/models/fashion-verdict/versions/1 was not found"},
      {"when: small", "if: small", "pipeline.steps[3].if"},
  };
  for (const auto& each : cases) {
    std::string changed = text;
    changed.replace(changed.find(each.from), std::strlen(each.from), each.to);
    ASSERT_TRUE(WriteFileAtomically(*dir_ / "wrong.yaml", changed).ok());
    EXPECT_FALSE(world_->Cli({"model", "pipeline", "wrong", *dir_ / "wrong.yaml"})) << each.to;
    EXPECT_THAT(world_->Output(), HasSubstr(each.problem));
  }
}

TEST_F(PipelineTest, AStepThatCannotBeLoadedLeavesTheOldVersionServing) {
  const json before = Infer("cascade", Photos())["label"];
  ASSERT_TRUE(WriteFileAtomically(*dir_ / "broken.onnx", "this is no model").ok());
  Run({"model", "upload", "broken", *dir_ / "broken.onnx", "--format", "onnx"});
  std::string text = ReadFile(Example("fashion-mnist-cascade/pipeline.yaml")).value();
  const std::string from = "models/fashion-mnist-cnn/";
  text.replace(text.find(from), from.size(), "models/broken/");
  ASSERT_TRUE(WriteFileAtomically(*dir_ / "broken.yaml", text).ok());
  Run({"model", "pipeline", "fashion-cascade", *dir_ / "broken.yaml"});
  Run({"deploy", "update", "cascade", "--model", "fashion-cascade", "--version", "2"});
  json deployment;
  ASSERT_TRUE(Eventually([&] {
    deployment = world_->owner().Get(world_->Path("deployments/cascade")).json();
    return !deployment.value("error", "").empty();
  })) << deployment;
  EXPECT_THAT(deployment["error"].get<std::string>(),
              HasSubstr("tenants/acme/models/broken/versions/1: model.onnx: is not an ONNX model"));
  EXPECT_EQ(deployment["servingVersion"], world_->Name("models/fashion-cascade/versions/1"));
  EXPECT_EQ(Infer("cascade", Photos())["label"], before);
}

}  // namespace
}  // namespace slipway::e2e
