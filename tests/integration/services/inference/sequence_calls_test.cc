// Calls of sequences, over gRPC, with a model that adds up what it is given.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/services/inference/worker_fixture.h"

namespace slipway::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// x and sum FP32 [-1, 1] -> y and new_sum, both their sum. Refuses a batch in which an x is NaN.
class AddingModel final : public LoadedModel {
 public:
  explicit AddingModel(std::atomic<int>& runs) : runs_(runs) {}
  std::string_view platform() const override { return "adding"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 1000; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    ++runs_;
    const int64_t rows = inputs[0].shape()[0];
    std::vector<float> x(static_cast<size_t>(rows));
    std::vector<float> sums(static_cast<size_t>(rows));
    std::memcpy(x.data(), inputs[0].data().data(), x.size() * sizeof(float));
    std::memcpy(sums.data(), inputs[1].data().data(), sums.size() * sizeof(float));
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) return absl::InvalidArgumentError("x is no number");
      sums[i] += x[i];
    }
    const std::string bytes(reinterpret_cast<const char*>(sums.data()),
                            sums.size() * sizeof(float));
    return TensorBatch{
        *Tensor::Make("y", DataType::kFp32, {rows, 1}, Buffer::Own(bytes), "y"),
        *Tensor::Make("new_sum", DataType::kFp32, {rows, 1}, Buffer::Own(bytes), "new_sum")};
  }

 private:
  const Signature signature_ = {
      .inputs = {{"x", DataType::kFp32, {-1, 1}}, {"sum", DataType::kFp32, {-1, 1}}},
      .outputs = {{"y", DataType::kFp32, {-1, 1}}, {"new_sum", DataType::kFp32, {-1, 1}}}};
  std::atomic<int>& runs_;
};

class AddingRuntime final : public ModelRuntime {
 public:
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource&) override {
    return std::make_shared<AddingModel>(runs);
  }
  std::atomic<int> runs = 0;
};

class SequenceCallsTest : public WorkerTest {
 protected:
  void SetUp() override { StartWorker(runtime_, /*instances=*/1); }

  // What became of the load.
  LoadedModelProto LoadWith(const std::vector<std::pair<std::string, std::string>>& states) {
    TestArtifact artifact;
    artifact.description = "{}";
    artifact.weights = "none";
    for (const auto& [input, output] : states) {
      auto& state = *artifact.signature.add_states();
      state.set_input(input);
      state.set_output(output);
    }
    const auto begun = Load(kShoes, registry_.AddVersion(kVersion1, artifact), settings_);
    EXPECT_TRUE(begun.ok()) << begun.status();
    LoadedModelProto loaded = Await(kVersion1);
    runs_before_ = runtime_.runs;
    return loaded;
  }
  void LoadAdding() {
    const LoadedModelProto loaded = LoadWith({{"sum", "new_sum"}});
    ASSERT_EQ(loaded.state(), v1::LoadedModel::READY) << loaded.error();
  }
  int Runs() const { return runtime_.runs - runs_before_; }

  static inference::ModelInferRequest Step(int64_t id, float x, bool start = false,
                                           bool end = false) {
    inference::ModelInferRequest request = RequestFor({x});
    auto& parameters = *request.mutable_parameters();
    parameters["sequence_id"].set_int64_param(id);
    parameters["sequence_start"].set_bool_param(start);
    parameters["sequence_end"].set_bool_param(end);
    return request;
  }
  float Ask(const inference::ModelInferRequest& request) {
    const auto response = Infer(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? Floats(*response)[0] : NAN;
  }

  AddingRuntime runtime_;
  v1::RuntimeSettings settings_;
  int runs_before_ = 0;
};

TEST_F(SequenceCallsTest, EachSequenceHasItsOwnStateFromItsStartToItsEnd) {
  LoadAdding();
  EXPECT_EQ(Ask(Step(1, 1, /*start=*/true)), 1);
  EXPECT_EQ(Ask(Step(2, 10, /*start=*/true)), 10);
  EXPECT_EQ(Ask(Step(1, 2)), 3);
  EXPECT_EQ(Ask(Step(2, 20)), 30);
  EXPECT_EQ(Ask(Step(1, 3, false, /*end=*/true)), 6);
  const absl::Status ended = Infer(Step(1, 4)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(ended)) << ended;
  EXPECT_THAT(std::string(ended.message()), HasSubstr("sequence 1 is not known"));
  EXPECT_EQ(Ask(Step(2, 30)), 60);
  EXPECT_THAT(metrics_.Text(), HasSubstr("slipway_worker_model_sequences"));
}

TEST_F(SequenceCallsTest, ATextAndANumberAreDifferentIds) {
  LoadAdding();
  EXPECT_EQ(Ask(Step(7, 1, /*start=*/true)), 1);
  auto text = Step(7, 5, /*start=*/true);
  (*text.mutable_parameters())["sequence_id"].set_string_param("7");
  EXPECT_EQ(Ask(text), 5);
  EXPECT_EQ(Ask(Step(7, 1)), 2);
  (*text.mutable_parameters())["sequence_id"].set_string_param(std::string(129, 'x'));
  EXPECT_EQ(FieldOf(Infer(text).status()), "parameters.sequence_id");
}

TEST_F(SequenceCallsTest, DifferentSequencesRunTogetherAndOneSequenceDoesNot) {
  LoadAdding();
  Principal who;
  who.tenant = "acme";
  const ModelHandle model = *models_->Find(who, kShoes, "");
  // A stream's requests are there together, whichever comes first.
  const auto context = GatewayContext();
  const auto stream = inference().ModelStreamInfer(context.get());
  batcher_->HoldUntil(*model->queue, 3);
  for (const auto& step : {Step(1, 1, true), Step(1, 2), Step(2, 10, true), Step(1, 3),
                           Step(3, 100, true), Step(2, 20)}) {
    ASSERT_TRUE(stream->Write(step));
  }
  stream->WritesDone();
  std::vector<float> sums;
  inference::ModelStreamInferResponse response;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.error_message(), "");
    sums.push_back(Floats(response.infer_response())[0]);
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(sums, ElementsAre(1, 3, 10, 6, 100, 30));
  const ModelStatistics statistics = model->metrics.Statistics();
  EXPECT_EQ(statistics.inference_count, 6);
  EXPECT_EQ(statistics.batches.at(3).compute_infer.count, 1);
}

TEST_F(SequenceCallsTest, ARunThatFailsLeavesTheStateAsItWas) {
  LoadAdding();
  EXPECT_EQ(Ask(Step(1, 1, /*start=*/true)), 1);
  EXPECT_TRUE(absl::IsInvalidArgument(Infer(Step(1, NAN)).status()));
  EXPECT_EQ(Ask(Step(1, 2)), 3);
  // An answer that cannot be written is none either.
  auto classes = Step(1, 4);
  auto& output = *classes.add_outputs();
  output.set_name("y");
  (*output.mutable_parameters())["shared_memory_region"].set_string_param("nowhere");
  EXPECT_FALSE(Infer(classes).ok());
  EXPECT_EQ(Ask(Step(1, 5)), 8);
}

TEST_F(SequenceCallsTest, StatesAreNotTheCallersToSee) {
  LoadAdding();
  auto request = Step(1, 1, /*start=*/true);
  request.add_outputs()->set_name("new_sum");
  EXPECT_EQ(FieldOf(Infer(request).status()), "outputs.new_sum");
  request = Step(1, 1, /*start=*/true);
  *request.add_inputs() = request.inputs(0);
  request.mutable_inputs(1)->set_name("sum");
  request.add_raw_input_contents(request.raw_input_contents(0));
  EXPECT_EQ(FieldOf(Infer(request).status()), "inputs.sum");
}

TEST_F(SequenceCallsTest, ACallBringsOneRowAndItsSequence) {
  LoadAdding();
  auto two_rows = RequestFor({1, 2});
  two_rows.mutable_inputs(0)->set_shape(0, 2);
  two_rows.mutable_inputs(0)->set_shape(1, 1);
  *two_rows.mutable_parameters() = Step(1, 1, true).parameters();
  EXPECT_EQ(FieldOf(Infer(two_rows).status()), "inputs.x.shape");
  EXPECT_EQ(FieldOf(Infer(RequestFor({1})).status()), "parameters.sequence_id");
  auto wrong = Step(1, 1);
  (*wrong.mutable_parameters())["sequence_end"].set_string_param("true");
  EXPECT_EQ(FieldOf(Infer(wrong).status()), "parameters.sequence_end");
  EXPECT_EQ(Runs(), 0);
}

TEST_F(SequenceCallsTest, AModelWithoutStatesTakesNoSequences) {
  ASSERT_EQ(LoadWith({}).state(), v1::LoadedModel::READY);
  EXPECT_EQ(FieldOf(Infer([] {
                      auto request = Step(1, 1, true);
                      *request.add_inputs() = request.inputs(0);
                      request.mutable_inputs(1)->set_name("sum");
                      request.add_raw_input_contents(request.raw_input_contents(0));
                      return request;
                    }())
                        .status()),
            "parameters.sequence_id");
}

TEST_F(SequenceCallsTest, TheStatesOutliveTheModelsStayInMemory) {
  LoadAdding();
  EXPECT_EQ(Ask(Step(1, 1, /*start=*/true)), 1);
  Principal who;
  who.tenant = "acme";
  {
    const ModelHandle model = *models_->Find(who, kShoes, "");
    while (batcher_->TakeModel(*model->queue) == nullptr) std::this_thread::yield();
  }
  EXPECT_EQ(Ask(Step(1, 2)), 3);
}

TEST_F(SequenceCallsTest, OneTooManyIsRefused) {
  settings_.mutable_sequences()->set_max_sequences(1);
  LoadAdding();
  EXPECT_EQ(Ask(Step(1, 1, /*start=*/true)), 1);
  EXPECT_TRUE(absl::IsUnavailable(Infer(Step(2, 1, /*start=*/true)).status()));
  EXPECT_EQ(Ask(Step(1, 1, false, /*end=*/true)), 2);
  EXPECT_EQ(Ask(Step(2, 1, /*start=*/true)), 1);
}

TEST_F(SequenceCallsTest, WhatDoesNotFitTheModelIsNotLoaded) {
  const auto error = [&](const std::vector<std::pair<std::string, std::string>>& states) {
    const LoadedModelProto loaded = LoadWith(states);
    EXPECT_EQ(loaded.state(), v1::LoadedModel::FAILED);
    EXPECT_TRUE(Unload(kShoes, kVersion1).ok());
    return loaded.error();
  };
  EXPECT_THAT(error({{"sum", "nothing"}}), HasSubstr("signature.states[0].output"));
  settings_.mutable_response_cache()->set_max_bytes(1000);
  EXPECT_THAT(error({{"sum", "new_sum"}}), HasSubstr("runtime.response_cache"));
  settings_.Clear();
  settings_.mutable_sequences()->set_max_sequences(5);
  EXPECT_THAT(error({}), HasSubstr("runtime.sequences"));
  settings_.mutable_sequences()->set_max_sequences(1'000'000);
  EXPECT_THAT(error({{"sum", "new_sum"}}), HasSubstr("runtime.sequences.max_sequences"));
  settings_.mutable_sequences()->set_max_sequences(100'000);
  LoadAdding();
}

}  // namespace
}  // namespace slipway::worker
