#include "common/pipeline/pipeline_graph.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr DataType kFp32 = DataType::kFp32;

struct StepOf {
  std::string name;
  std::map<std::string, std::string> inputs;
  std::string when = "";
};

registry::v1::Pipeline Make(const std::vector<std::string>& inputs,
                            const std::vector<StepOf>& steps,
                            const std::map<std::string, std::string>& outputs) {
  registry::v1::Pipeline pipeline;
  for (const std::string& input : inputs) pipeline.add_inputs(input);
  for (const StepOf& each : steps) {
    auto& step = *pipeline.add_steps();
    step.set_name(each.name);
    step.set_model_version("tenants/acme/models/" + each.name + "/versions/1");
    step.mutable_inputs()->insert(each.inputs.begin(), each.inputs.end());
    step.set_when(each.when);
  }
  pipeline.mutable_outputs()->insert(outputs.begin(), outputs.end());
  return pipeline;
}

// A picture is made ready, a small model looks at it, a large one where that is in doubt.
registry::v1::Pipeline Cascade() {
  return Make({"picture"},
              {{"large", {{"image", "ready.image"}}, "small.confidence < 0.9"},
               {"small", {{"image", "ready.image"}}},
               {"ready", {{"picture", "inputs.picture"}}}},
              {{"label", "large.label | small.label"}, {"confidence", "small.confidence"}});
}

std::vector<Signature> CascadeSignatures() {
  const Signature model = {{{"image", kFp32, {-1, 1, 28, 28}}},
                           {{"confidence", kFp32, {-1}}, {"label", DataType::kInt64, {-1}}}};
  const Signature ready = {{{"picture", DataType::kUint8, {-1, 28, 28}}},
                           {{"image", kFp32, {-1, 1, 28, 28}}}};
  return {model, model, ready};
}

absl::Status Problem(const registry::v1::Pipeline& pipeline) {
  return PipelineGraph::Parse(pipeline, "pipeline").status();
}

TEST(PipelineGraphTest, IsRunInAnOrderThatItsWiresAllow) {
  const auto graph = PipelineGraph::Parse(Cascade(), "pipeline");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto plan = graph->Bind(CascadeSignatures());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->order, ElementsAre(2, 1, 0));
  EXPECT_EQ(plan->signature,
            (Signature{{{"picture", DataType::kUint8, {-1, 28, 28}}},
                       {{"confidence", kFp32, {-1}}, {"label", DataType::kInt64, {-1}}}}));
  // The outputs are in the order of the signature: by name.
  ASSERT_EQ(plan->outputs.size(), 2u);
  EXPECT_EQ(plan->outputs[0].size(), 1u);
  ASSERT_EQ(plan->outputs[1].size(), 2u);
  EXPECT_EQ(plan->outputs[1][0].step, 0);
  EXPECT_EQ(plan->outputs[1][0].index, 1u);
  EXPECT_EQ(plan->outputs[1][1].step, 1);
  const Plan::Step& large = plan->steps[0];
  EXPECT_EQ(large.name, "large");
  EXPECT_EQ(large.model_version, "tenants/acme/models/large/versions/1");
  EXPECT_TRUE(large.when.has_value());
  EXPECT_EQ(large.asked.step, 1);
  EXPECT_EQ(large.asked.index, 0u);
  EXPECT_FALSE(plan->steps[1].when.has_value());
}

TEST(PipelineGraphTest, NamesThePlaceOfEachFault) {
  const StepOf a = {"a", {{"x", "inputs.x"}}};
  std::string many = "a.y";
  for (int i = 0; i < 1000; ++i) many += " | a.y";
  const struct {
    registry::v1::Pipeline pipeline;
    const char* field;
    const char* problem;
  } cases[] = {
      {Make({}, {a}, {{"y", "a.y"}}), "pipeline.inputs", "must be 1 to 64"},
      {Make({"x"}, {}, {{"y", "inputs.x"}}), "pipeline.steps", "must be 1 to 32"},
      {Make({"x"}, {a}, {}), "pipeline.outputs", "must be 1 to 64"},
      {Make({"x", "x"}, {a}, {{"y", "a.y"}}), "pipeline.inputs[1]", "is there twice"},
      {Make({"x y"}, {a}, {{"y", "a.y"}}), "pipeline.inputs[0]", "no space"},
      {Make({"x", "z"}, {a}, {{"y", "a.y"}}), "pipeline.inputs[1]", "no output depends on it"},
      {Make({"x"}, {a, a}, {{"y", "a.y"}}), "pipeline.steps[1].name", "is there already"},
      {Make({"x"}, {{"inputs", {{"x", "inputs.x"}}}}, {{"y", "inputs.x"}}),
       "pipeline.steps[0].name", "is there already"},
      {Make({"x"}, {{"A b", {{"x", "inputs.x"}}}}, {{"y", "inputs.x"}}), "pipeline.steps[0].name",
       ""},
      {Make({"x"}, {{"a", {}}}, {{"y", "a.y"}}), "pipeline.steps[0].inputs", "must be 1 to 64"},
      {Make({"x"}, {{"a", {{"x", "inputs.z"}}}}, {{"y", "a.y"}}), "pipeline.steps[0].inputs.x",
       "has no input \"z\"; it has x"},
      {Make({"x"}, {{"a", {{"x", "x"}}}}, {{"y", "a.y"}}), "pipeline.steps[0].inputs.x",
       "must be like"},
      {Make({"x"}, {{"a", {{"x", "b.y"}}}}, {{"y", "a.y"}}), "pipeline.steps[0].inputs.x",
       "no step \"b\""},
      {Make({"x"}, {{"a", {{"x", "inputs.x |"}}}}, {{"y", "a.y"}}), "pipeline.steps[0].inputs.x",
       "must be like"},
      {Make({"x"}, {a}, {{"y", "c.y"}}), "pipeline.outputs.y", "no step \"c\""},
      {Make({"x"}, {a}, {{"y", many}}), "pipeline.outputs.y", "at most 33 alternatives"},
      {Make({"x"}, {a, {"b", {{"x", "inputs.x"}}}}, {{"y", "a.y"}}), "pipeline.steps[1]",
       "no output depends on it"},
      {Make({"x"}, {{"a", {{"x", "a.y"}, {"z", "inputs.x"}}}}, {{"y", "a.y"}}), "pipeline.steps[0]",
       "a <- a"},
      {Make(
           {"x"},
           {{"a", {{"x", "c.y"}}}, {"b", {{"x", "a.y"}, {"z", "inputs.x"}}}, {"c", {{"x", "b.y"}}}},
           {{"y", "c.y"}}),
       "pipeline.steps[0]", "a <- c <- b <- a"},
      {Make({"x"}, {a, {"b", {{"x", "inputs.x"}}, "a.y <"}}, {{"y", "b.y | a.y"}}),
       "pipeline.steps[1].when", ""},
      {Make({"x"}, {a, {"b", {{"x", "inputs.x"}}, "c.y < 1"}}, {{"y", "b.y | a.y"}}),
       "pipeline.steps[1].when", "no step \"c\""},
      // A ring by way of a condition.
      {Make({"x"}, {{"a", {{"x", "inputs.x"}}, "b.y < 1"}, {"b", {{"x", "a.y"}}}}, {{"y", "b.y"}}),
       "pipeline.steps[0]", "a <- b <- a"},
  };
  for (const auto& each : cases) {
    const absl::Status problem = Problem(each.pipeline);
    EXPECT_EQ(FieldOf(problem), each.field) << problem;
    EXPECT_THAT(std::string(problem.message()), HasSubstr(each.problem));
  }
}

TEST(PipelineGraphTest, EveryRowOfEveryOutputHasAValue) {
  const StepOf first = {"first", {{"x", "inputs.x"}}};
  const StepOf low = {"low", {{"x", "inputs.x"}}, "first.score < 0.5"};
  const StepOf high = {"high", {{"x", "inputs.x"}}, "first.score >= 0.5"};
  const StepOf other = {"other", {{"x", "inputs.x"}}, "first.score < 0.6"};
  EXPECT_TRUE(Problem(Make({"x"}, {first, low, high}, {{"y", "low.y | high.y"}})).ok());
  EXPECT_TRUE(Problem(Make({"x"}, {first, low}, {{"y", "low.y | first.y"}})).ok());
  EXPECT_TRUE(Problem(Make({"x"}, {first, low}, {{"y", "low.y | inputs.x"}})).ok());
  EXPECT_EQ(FieldOf(Problem(Make({"x"}, {first, low}, {{"y", "low.y"}}))), "pipeline.outputs.y");
  EXPECT_EQ(FieldOf(Problem(Make({"x"}, {first, other, high}, {{"y", "other.y | high.y"}}))),
            "pipeline.outputs.y");
  // What a step takes narrows its rows, and alternatives join them again.
  const StepOf after = {"after", {{"x", "low.y"}}};
  EXPECT_EQ(FieldOf(Problem(Make({"x"}, {first, low, after}, {{"y", "after.y"}}))),
            "pipeline.outputs.y");
  const StepOf joined = {"joined", {{"x", "low.y | high.y"}}};
  EXPECT_TRUE(Problem(Make({"x"}, {first, low, high, joined}, {{"y", "joined.y"}})).ok());
  // A second branch inside the first.
  const StepOf inner = {"inner", {{"x", "low.y"}}, "low.y < 1"};
  EXPECT_TRUE(
      Problem(Make({"x"}, {first, low, high, inner}, {{"y", "inner.y | low.y | high.y"}})).ok());
}

TEST(PipelineGraphTest, RefusesStepsAndAlternativesThatNoRowComesTo) {
  const StepOf first = {"first", {{"x", "inputs.x"}}};
  const StepOf low = {"low", {{"x", "inputs.x"}}, "first.score < 0.5"};
  const StepOf never = {"never", {{"x", "low.y"}}, "first.score >= 0.5"};
  const absl::Status step =
      Problem(Make({"x"}, {first, low, never}, {{"y", "never.y | low.y | first.y"}}));
  EXPECT_EQ(FieldOf(step), "pipeline.steps[2]") << step;
  const absl::Status alternative = Problem(Make({"x"}, {first, low}, {{"y", "first.y | low.y"}}));
  EXPECT_EQ(FieldOf(alternative), "pipeline.outputs.y");
  EXPECT_THAT(std::string(alternative.message()), HasSubstr("alternative 2 is never taken"));
}

TEST(PipelineGraphTest, HasABoundedNumberOfConditions) {
  std::vector<StepOf> steps = {{"first", {{"x", "inputs.x"}}}};
  std::string all;
  for (size_t i = 0; i <= PipelineGraph::kMaxTests; ++i) {
    steps.push_back({fmt::format("s{}", i), {{"x", "inputs.x"}}, fmt::format("first.y < {}", i)});
    all += fmt::format("s{}.y | ", i);
  }
  EXPECT_EQ(FieldOf(Problem(Make({"x"}, steps, {{"y", all + "first.y"}}))),
            "pipeline.steps[9].when");
}

TEST(PipelineGraphTest, TypesAndShapesMustFit) {
  const auto graph = PipelineGraph::Parse(Cascade(), "pipeline");
  ASSERT_TRUE(graph.ok());
  const auto with = [&](const auto& change) {
    std::vector<Signature> signatures = CascadeSignatures();
    change(signatures[0], signatures[1], signatures[2]);
    const absl::Status problem = graph->Bind(signatures).status();
    return std::pair(FieldOf(problem), std::string(problem.message()));
  };
  using S = Signature;
  const auto shape = with([](S&, S& small, S&) { small.inputs[0].shape = {-1, 1, 32, 32}; });
  EXPECT_EQ(shape.first, "pipeline.steps[1].inputs.image");
  EXPECT_THAT(shape.second, HasSubstr("\"image FP32 [-1, 1, 28, 28]\" does not fit "
                                      "\"image FP32 [-1, 1, 32, 32]\""));
  EXPECT_EQ(with([](S&, S& small, S&) { small.inputs[0].dtype = DataType::kFp64; }).first,
            "pipeline.steps[1].inputs.image");
  EXPECT_EQ(with([](S&, S& small, S&) {
              small.inputs[0].shape = {-1, 784};
            }).first,
            "pipeline.steps[1].inputs.image");
  EXPECT_EQ(with([](S&, S& small, S&) {
              small.inputs[0].shape = {8, 1, 28, 28};
            }).first,
            "pipeline.steps[1].inputs.image")
      << "rows are free everywhere or nowhere";
  EXPECT_EQ(with([](S&, S& small, S&) {
              small.inputs[0].shape = {-1, 1, -1, -1};
            }).second,
            "")
      << "a free dimension fits a fixed one";
  EXPECT_EQ(with([](S&, S&, S& ready) {
              ready.outputs[0].shape = {-1, 1, -1, 28};
            }).second,
            "")
      << "which is looked at when the tensor is there";
  const auto missing = with([](S& large, S&, S&) {
    large.inputs.push_back({"mask", kFp32, {-1}});
  });
  EXPECT_EQ(missing.first, "pipeline.steps[0].inputs");
  EXPECT_THAT(missing.second, HasSubstr("says nothing of the input \"mask\""));
  const auto unknown = with([](S& large, S&, S&) { large.inputs[0].name = "pixels"; });
  EXPECT_EQ(unknown.first, "pipeline.steps[0].inputs.image");
  EXPECT_THAT(unknown.second, HasSubstr("no such input; it has pixels"));
  const auto output = with([](S&, S& small, S&) { small.outputs[1].name = "class"; });
  EXPECT_EQ(output.first, "pipeline.outputs.label");
  EXPECT_THAT(output.second, HasSubstr("no output \"label\"; it has confidence, class"));
  EXPECT_EQ(with([](S& large, S&, S&) { large.outputs[1].dtype = DataType::kInt32; }).first,
            "pipeline.outputs.label")
      << "alternatives are of one type";
  EXPECT_EQ(with([](S&, S& small, S&) { small.outputs[0].dtype = DataType::kFp16; }).first,
            "pipeline.steps[0].when");
  EXPECT_EQ(with([](S&, S& small, S&) {
              small.outputs[0].shape = {-1, 2};
            }).first,
            "pipeline.steps[0].when");
  const auto fixed = with([](S&, S&, S& ready) { ready.inputs[0].shape = {1, 28, 28}; });
  EXPECT_EQ(fixed.first, "pipeline.steps[2].model_version");
  EXPECT_THAT(fixed.second, HasSubstr("any number of rows"));
}

TEST(PipelineGraphTest, AStepKeepsNoState) {
  const auto graph = PipelineGraph::Parse(Cascade(), "pipeline");
  std::vector<Signature> signatures = CascadeSignatures();
  signatures[1].states = {{"image", "confidence"}};
  EXPECT_EQ(FieldOf(graph->Bind(signatures).status()), "pipeline.steps[1].model_version");
}

TEST(PipelineGraphTest, AnInputIsWhatAllStepsThatTakeItTake) {
  const auto bind = [](const Shape& a, const Shape& b) {
    const auto graph =
        PipelineGraph::Parse(Make({"x"}, {{"a", {{"in", "inputs.x"}}}, {"b", {{"in", "inputs.x"}}}},
                                  {{"y", "a.y"}, {"z", "b.y"}}),
                             "pipeline");
    const std::vector<Signature> signatures = {{{{"in", kFp32, a}}, {{"y", kFp32, {-1, 1}}}},
                                               {{{"in", kFp32, b}}, {{"y", kFp32, {-1, 1}}}}};
    return graph->Bind(signatures);
  };
  EXPECT_EQ(bind({-1, -1, 3}, {-1, 28, -1})->signature.inputs[0],
            (TensorSpec{"x", kFp32, {-1, 28, 3}}));
  EXPECT_EQ(FieldOf(bind({-1, 27}, {-1, 28}).status()), "pipeline.steps[1].inputs.in");
  // Without conditions rows need not be free.
  EXPECT_TRUE(bind({1, 28}, {1, 28}).ok());
  EXPECT_EQ(FieldOf(bind({1, 28}, {-1, 28}).status()), "pipeline.steps[1].inputs.in");
}

TEST(PipelineGraphTest, AnInputThatNoStepTakesHasNoType) {
  const auto graph = PipelineGraph::Parse(
      Make({"x", "z"}, {{"a", {{"in", "inputs.x"}}}}, {{"y", "a.y"}, {"z", "inputs.z"}}),
      "pipeline");
  ASSERT_TRUE(graph.ok());
  const std::vector<Signature> signatures = {{{{"in", kFp32, {-1}}}, {{"y", kFp32, {-1}}}}};
  EXPECT_EQ(FieldOf(graph->Bind(signatures).status()), "pipeline.inputs[1]");
}

TEST(PipelineGraphTest, AlternativesOfDifferentShapesLeaveADimensionFree) {
  const auto graph = PipelineGraph::Parse(Cascade(), "pipeline");
  std::vector<Signature> signatures = CascadeSignatures();
  signatures[0].outputs[1].shape = {-1, 4};
  signatures[1].outputs[1].shape = {-1, -1};
  const auto plan = graph->Bind(signatures);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->signature.outputs[1].shape, Shape({-1, -1}));
}

}  // namespace
}  // namespace slipway::pipeline
