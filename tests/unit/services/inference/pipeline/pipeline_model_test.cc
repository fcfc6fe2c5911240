#include "services/inference/pipeline/pipeline_model.h"

#include <map>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/services/inference/pipeline/function_model.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class PipelineModelTest : public ::testing::Test {
 protected:
  // A step whose model takes x from `wire`.
  void Add(const std::string& name, const std::shared_ptr<FunctionModel>& model,
           const std::string& wire, const std::string& when = "") {
    auto& step = *definition_.add_steps();
    step.set_name(name);
    (*step.mutable_inputs())["x"] = wire;
    step.set_when(when);
    models_.push_back(model);
  }
  std::unique_ptr<PipelineModel> Make(const std::map<std::string, std::string>& outputs,
                                      const std::vector<std::string>& inputs = {"x"}) {
    for (const std::string& input : inputs) definition_.add_inputs(input);
    definition_.mutable_outputs()->insert(outputs.begin(), outputs.end());
    std::vector<Signature> signatures;
    for (const auto& model : models_) signatures.push_back(model->signature());
    const auto graph = pipeline::PipelineGraph::Parse(definition_, "pipeline");
    EXPECT_TRUE(graph.ok()) << graph.status();
    auto plan = graph->Bind(signatures);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return std::make_unique<PipelineModel>(*std::move(plan), models_, clock_);
  }
  static absl::StatusOr<TensorBatch> Run(const PipelineModel& model,
                                         const std::vector<float>& rows) {
    return model.Run({Column("x", rows)}, absl::InfiniteFuture());
  }

  FakeClock clock_;
  slipway::registry::v1::Pipeline definition_;
  std::vector<PipelineModel::ModelPtr> models_;
  const std::shared_ptr<FunctionModel> twice_ =
      std::make_shared<FunctionModel>([](float x) { return 2 * x; });
  const std::shared_ptr<FunctionModel> next_ =
      std::make_shared<FunctionModel>([](float x) { return x + 1; });
  const std::shared_ptr<FunctionModel> minus_ =
      std::make_shared<FunctionModel>([](float x) { return -x; });
};

TEST_F(PipelineModelTest, WhatAStepGivesIsWhatTheNextOneTakesInTheSameMemory) {
  Add("b", next_, "a.y");
  Add("a", twice_, "inputs.x");
  const auto model = Make({{"out", "b.y"}, {"half-way", "a.y"}});
  const auto outputs = Run(*model, {1, 10});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  ASSERT_EQ(outputs->size(), 2u);
  EXPECT_EQ((*outputs)[0].name(), "half-way");
  EXPECT_THAT(Values((*outputs)[0]), ElementsAre(2, 20));
  EXPECT_EQ((*outputs)[1].name(), "out");
  EXPECT_THAT(Values((*outputs)[1]), ElementsAre(3, 21));
  EXPECT_EQ(next_->taken.name(), "x");
  EXPECT_EQ(next_->taken.data().data(), twice_->given.data().data());
  EXPECT_EQ((*outputs)[1].data().data(), next_->given.data().data());
  EXPECT_EQ(model->platform(), "slipway_pipeline");
}

TEST_F(PipelineModelTest, RowsThatTakeABranchRunThereAndAreMergedInTheirPlaces) {
  Add("first", twice_, "inputs.x");
  Add("small", next_, "inputs.x", "first.y < 10");
  Add("large", minus_, "inputs.x", "first.y >= 10");
  Add("after", next_, "small.y | large.y", "inputs.x != 7");
  const auto model = Make({{"out", "after.y | small.y | large.y"}});
  const auto outputs = Run(*model, {1, 5, 2, 7, 3});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(Values(minus_->taken), ElementsAre(5, 7));
  // `next_` has run last for "after": 2, -5, 3, 4 of the rows but 7.
  EXPECT_THAT(Values(next_->taken), ElementsAre(2, -5, 3, 4));
  EXPECT_THAT(Values((*outputs)[0]), ElementsAre(3, -4, 4, -7, 5));
  EXPECT_EQ(next_->runs, 2);
}

TEST_F(PipelineModelTest, ABranchThatNoRowTakesDoesNotRun) {
  Add("first", twice_, "inputs.x");
  Add("large", minus_, "first.y", "first.y > 100");
  Add("after", next_, "large.y");
  const auto model = Make({{"out", "after.y | first.y"}});
  const auto outputs = Run(*model, {1, 2});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(Values((*outputs)[0]), ElementsAre(2, 4));
  EXPECT_EQ((*outputs)[0].data().data(), twice_->given.data().data());
  EXPECT_EQ(minus_->runs + next_->runs, 0);
  EXPECT_THAT(Values(Run(*model, {51, 1, 52}).value()[0]), ElementsAre(-101, 2, -103));
}

TEST_F(PipelineModelTest, TakesABatchWithoutRows) {
  Add("first", twice_, "inputs.x");
  Add("large", minus_, "first.y", "first.y > 100");
  const auto model = Make({{"out", "large.y | first.y"}});
  const auto outputs = Run(*model, {});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].shape(), Shape({0}));
}

TEST_F(PipelineModelTest, AFailingStepNamesItself) {
  Add("a", twice_, "inputs.x");
  Add("b", next_, "a.y");
  const auto model = Make({{"out", "b.y"}});
  next_->fault = absl::ResourceExhaustedError("out of memory");
  const absl::Status failed = Run(*model, {1}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(failed));
  EXPECT_EQ(failed.message(), "step b: out of memory");
}

TEST_F(PipelineModelTest, AStepThatLosesARowIsBroken) {
  Add("a", twice_, "inputs.x");
  Add("b", next_, "a.y", "a.y > 0");
  const auto model = Make({{"out", "b.y | a.y"}});
  next_->loses_a_row = true;
  const absl::Status failed = Run(*model, {1, 2, -1}).status();
  EXPECT_TRUE(absl::IsInternal(failed));
  EXPECT_THAT(std::string(failed.message()), StartsWith("step b: the model gave y [1] for 2 rows"));
}

TEST_F(PipelineModelTest, InputsOfDifferentRowsAreRefused) {
  Add("a", twice_, "inputs.x");
  Add("b", next_, "inputs.z", "a.y > 0");
  const auto model = Make({{"out", "b.y | a.y"}}, {"x", "z"});
  const absl::Status refused =
      model->Run({Column("x", {1, 2}), Column("z", {1})}, absl::InfiniteFuture()).status();
  EXPECT_EQ(FieldOf(refused), "z") << refused;
}

TEST_F(PipelineModelTest, StopsBetweenStepsOnceTheDeadlineHasPassed) {
  const auto slow = std::make_shared<FunctionModel>([this](float x) {
    clock_.Advance(absl::Seconds(1));
    return x;
  });
  Add("a", slow, "inputs.x");
  Add("b", next_, "a.y");
  const auto model = Make({{"out", "b.y"}});
  const absl::Time deadline = clock_.Now() + absl::Milliseconds(500);
  const absl::Status late = model->Run({Column("x", {1})}, deadline).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("step b"));
  EXPECT_EQ(next_->runs, 0);
}

TEST_F(PipelineModelTest, AnOutputNeverLiesInTheCallersMemory) {
  Add("a", twice_, "inputs.x");
  Add("b", next_, "a.y", "a.y > 100");
  const auto model = Make({{"out", "b.y | inputs.x"}});
  const Tensor input = Column("x", {1, 2});
  const auto outputs = model->Run({input}, absl::InfiniteFuture());
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(Values((*outputs)[0]), ElementsAre(1, 2));
  EXPECT_NE((*outputs)[0].data().data(), input.data().data());
}

TEST_F(PipelineModelTest, AModelThatStepsShareCountsOnce) {
  Add("a", twice_, "inputs.x");
  Add("b", twice_, "a.y");
  Add("c", next_, "b.y");
  EXPECT_EQ(Make({{"out", "c.y"}})->memory_bytes(), 200);
}

}  // namespace
}  // namespace slipway::worker
