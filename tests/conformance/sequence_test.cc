// A real model with states behind the real gateway and worker: what each door answers to a stream
// of readings is, bit by bit, what the model answers whose states are carried by hand.

#include <grpcpp/grpcpp.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "inference/open_inference.grpc.pb.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "tests/conformance/served_gateway.h"
#include "tests/support/places.h"

namespace slipway {
namespace {

using json = nlohmann::json;
using inference::GRPCInferenceService;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ModelFile() { return SourceFile("tests/fixtures/models/pump/model.onnx"); }

std::unique_ptr<worker::ModelRuntime> MakeRuntime(const TempDir& folder) {
  return *worker::MakeOpenVinoRuntime(
      {.instances = 2, .threads = 1, .staging_dir = folder / "staging"});
}

struct Reading {
  std::vector<float> values;
  // By ONNX Runtime.
  float score = 0;
};

std::vector<Reading> ReadStream() {
  std::ifstream file(SourceFile("tests/fixtures/models/pump/stream.csv"));
  std::string line;
  std::getline(file, line);
  std::vector<Reading> readings;
  while (std::getline(file, line)) {
    std::istringstream cells(line);
    std::vector<float> row;
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(std::stof(cell));
    readings.push_back({{row.begin() + 1, row.begin() + 5}, row[5]});
  }
  return readings;
}

Tensor Row(const std::string& name, const std::vector<float>& values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return *Tensor::Make(name, DataType::kFp32, {1, static_cast<int64_t>(values.size())},
                       Buffer::Own(std::move(bytes)), name);
}

float First(std::string_view bytes) {
  float value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

// What the model says to the stream, its states carried by hand.
std::vector<float> ByHand(const std::vector<Reading>& readings) {
  const TempDir folder;
  const auto runtime = MakeRuntime(folder);
  const auto model = *runtime->Load({.format = "onnx", .files = {{"model.onnx", ModelFile()}}});
  worker::TensorBatch inputs = {Row("reading", {0, 0, 0, 0}), Row("mean", {0, 0, 0, 0}),
                                Row("variance", {0, 0, 0, 0}), Row("count", {0})};
  std::vector<float> scores;
  for (const Reading& reading : readings) {
    inputs[0] = Row("reading", reading.values);
    const worker::TensorBatch outputs = *model->Run(inputs, absl::InfiniteFuture());
    scores.push_back(First(outputs[0].data().view()));
    for (size_t i = 1; i < inputs.size(); ++i) inputs[i] = outputs[i];
  }
  return scores;
}

class SequenceTest : public ServedGatewayTest {
 protected:
  SequenceTest() : ServedGatewayTest(MakeRuntime(staging_)) {}

  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    MakeTenant("globex");
    key_ = MakeKey("acme", "OWNER");
    their_key_ = MakeKey("globex", "OWNER");
    SetRoutes({Deploy("acme"), Deploy("globex")});
    WaitFor([&] { return Ask("GET", "/v2/models/pump", their_key_).status == 200; }, "the routes");
    stub_ = GRPCInferenceService::NewStub(
        grpc::CreateChannel(gateway_->address(), grpc::InsecureChannelCredentials()));
  }

  controller::v1::Route Deploy(const std::string& tenant) {
    TestArtifact artifact;
    artifact.format = "onnx";
    artifact.weights = *ReadFile(ModelFile());
    artifact.weights_file = "model.onnx";
    for (const char* name : {"mean", "variance", "count"}) {
      auto& state = *artifact.signature.add_states();
      state.set_input(name);
      state.set_output(std::string("new_") + name);
    }
    // OpenVINO rounds otherwise where rows run together.
    worker::v1::RuntimeSettings one_by_one;
    one_by_one.mutable_batching()->set_max_rows(1);
    return worker_.Serve(
        tenant, "pump",
        worker_.registry().AddVersion("tenants/" + tenant + "/models/pump/versions/1", artifact),
        one_by_one);
  }

  // JSON that says where in its sequence a call is.
  static json Parameters(const json& id, bool start, bool end) {
    json parameters = {{"sequence_id", id}};
    if (start) parameters["sequence_start"] = true;
    if (end) parameters["sequence_end"] = true;
    return parameters;
  }
  Answer Post(const std::string& key, const std::vector<float>& reading, const json& parameters) {
    const json body = {
        {"parameters", parameters},
        {"inputs",
         {{{"name", "reading"}, {"datatype", "FP32"}, {"shape", {1, 4}}, {"data", reading}}}}};
    return Ask("POST", "/v2/models/pump/infer", key, body.dump());
  }
  float ScoreIn(const Answer& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    const json outputs = json::parse(answer.body, nullptr, false).value("outputs", json::array());
    EXPECT_EQ(outputs.size(), 1u) << "states are not the caller's to see";
    return outputs.empty() ? NAN : outputs[0]["data"][0].get<float>();
  }

  static inference::ModelInferRequest Request(const std::vector<float>& reading,
                                              const std::string& id, bool start, bool end) {
    inference::ModelInferRequest request;
    request.set_model_name("pump");
    auto& input = *request.add_inputs();
    input.set_name("reading");
    input.set_datatype("FP32");
    input.add_shape(1);
    input.add_shape(4);
    request.add_raw_input_contents(reading.data(), reading.size() * sizeof(float));
    auto& parameters = *request.mutable_parameters();
    parameters["sequence_id"].set_string_param(id);
    parameters["sequence_start"].set_bool_param(start);
    parameters["sequence_end"].set_bool_param(end);
    return request;
  }
  void Authenticate(grpc::ClientContext& context) const {
    context.AddMetadata("authorization", "Bearer " + key_);
  }

  static TempDir staging_;
  const std::vector<Reading> readings_ = ReadStream();
  std::string their_key_;
  std::unique_ptr<GRPCInferenceService::Stub> stub_;
};

TempDir SequenceTest::staging_;

TEST_F(SequenceTest, EveryDoorAnswersAsTheModelWhoseStatesAreCarriedByHand) {
  const std::vector<float> by_hand = ByHand(readings_);
  ASSERT_EQ(by_hand.size(), 300u);
  for (size_t i = 0; i < by_hand.size(); ++i) {
    EXPECT_NEAR(by_hand[i], readings_[i].score, 1e-3 + 1e-3 * by_hand[i]) << i;
  }
  std::vector<float> over_http;
  std::vector<float> over_grpc;
  std::vector<float> over_a_stream;
  grpc::ClientContext stream_context;
  Authenticate(stream_context);
  const auto stream = stub_->ModelStreamInfer(&stream_context);
  // Three sequences side by side; that of the stream is sent ahead.
  for (size_t i = 0; i < readings_.size(); ++i) {
    const bool start = i == 0;
    const bool end = i + 1 == readings_.size();
    const std::vector<float>& reading = readings_[i].values;
    ASSERT_TRUE(stream->Write(Request(reading, "by stream", start, end)));
    over_http.push_back(ScoreIn(Post(key_, reading, Parameters(42, start, end))));
    grpc::ClientContext context;
    Authenticate(context);
    inference::ModelInferResponse response;
    const grpc::Status status =
        stub_->ModelInfer(&context, Request(reading, "42", start, end), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    over_grpc.push_back(First(response.raw_output_contents(0)));
  }
  stream->WritesDone();
  inference::ModelStreamInferResponse response;
  while (stream->Read(&response)) {
    ASSERT_EQ(response.error_message(), "");
    over_a_stream.push_back(First(response.infer_response().raw_output_contents(0)));
  }
  EXPECT_TRUE(stream->Finish().ok());
  // Floats as JSON has them read as the same bits.
  EXPECT_EQ(over_http, by_hand);
  EXPECT_EQ(over_grpc, by_hand);
  EXPECT_EQ(over_a_stream, by_hand);
}

TEST_F(SequenceTest, TwoTenantsWithTheSameIdNeverMeet) {
  const std::vector<float> by_hand = ByHand({readings_.begin(), readings_.begin() + 40});
  // The other tenant's readings are the same, ten behind.
  std::vector<float> ours;
  std::vector<float> theirs;
  for (size_t i = 0; i < 50; ++i) {
    if (i < 40) {
      ours.push_back(ScoreIn(Post(key_, readings_[i].values, Parameters(7, i == 0, false))));
    }
    if (i >= 10) {
      theirs.push_back(
          ScoreIn(Post(their_key_, readings_[i - 10].values, Parameters(7, i == 10, false))));
    }
  }
  EXPECT_EQ(ours, by_hand);
  EXPECT_EQ(theirs, by_hand);
  // Nor does one end the other's.
  EXPECT_EQ(Post(key_, readings_[0].values, Parameters(7, false, true)).status, 200);
  EXPECT_EQ(Post(key_, readings_[0].values, Parameters(7, false, false)).status, 400);
  EXPECT_EQ(Post(their_key_, readings_[0].values, Parameters(7, false, false)).status, 200);
}

TEST_F(SequenceTest, WhatIsWrongIsToldInWords) {
  const std::vector<float>& reading = readings_[0].values;
  const Answer unknown = Post(key_, reading, Parameters(7, false, false));
  EXPECT_EQ(unknown.status, 400);
  EXPECT_THAT(unknown.body, HasSubstr("sequence 7 is not known"));
  const Answer without = Post(key_, reading, json::object());
  EXPECT_EQ(without.status, 400);
  EXPECT_THAT(without.body, HasSubstr("parameters.sequence_id: is missing"));
  EXPECT_EQ(Post(key_, reading, {{"sequence_id", -7}}).status, 400);
  EXPECT_EQ(Post(key_, reading, {{"sequence_id", 7}, {"sequence_start", "yes"}}).status, 400);
}

TEST_F(SequenceTest, ItsMetadataAndConfigurationShowWhatCallersNeed) {
  const json metadata = AskJson("GET", "/v2/models/pump", key_);
  ASSERT_EQ(metadata["inputs"].size(), 1u);
  EXPECT_EQ(metadata["inputs"][0]["name"], "reading");
  ASSERT_EQ(metadata["outputs"].size(), 1u);
  EXPECT_EQ(metadata["outputs"][0]["name"], "score");
  const json config = AskJson("GET", "/v2/models/pump/config", key_);
  const json& states = config["sequence_batching"]["state"];
  ASSERT_EQ(states.size(), 3u) << config;
  EXPECT_EQ(states[1]["input_name"], "variance");
  EXPECT_EQ(states[1]["output_name"], "new_variance");
}

}  // namespace
}  // namespace slipway
