// A pipeline of any bytes, with models of one signature or another behind its steps: what is taken
// can be run, in an order in which nothing is used before it is there, and gives every row of every
// output a value.

#include <array>
#include <set>
#include <string>
#include <vector>

#include "common/pipeline/pipeline_graph.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway;
using Place = pipeline::Plan::Place;

// What a step's model is, by the first character of its version.
Signature SignatureOf(const std::string& model_version) {
  const char kind = model_version.empty() ? ' ' : model_version[0];
  if (kind == 'p') {
    return {{{"photo", DataType::kUint8, {-1, -1, -1}}}, {{"x", DataType::kFp32, {-1, 28, 28}}}};
  }
  if (kind == 'f') return {{{"x", DataType::kFp32, {1, 4}}}, {{"x", DataType::kFp32, {1, 4}}}};
  return {{{"x", DataType::kFp32, {-1, 28, 28}}},
          {{"x", DataType::kFp32, {-1, 28, 28}},
           {"score", DataType::kFp32, {-1}},
           {"kind", DataType::kBytes, {-1, 1}}}};
}

struct StepOf {
  const char* name;
  const char* model_version;
  const char* input;
  const char* wire;
  const char* when;
};

std::string Seed(const std::string& input, const std::vector<StepOf>& steps,
                 const std::string& output) {
  registry::v1::Pipeline pipeline;
  pipeline.add_inputs(input);
  for (const StepOf& each : steps) {
    auto& step = *pipeline.add_steps();
    step.set_name(each.name);
    step.set_model_version(each.model_version);
    (*step.mutable_inputs())[each.input] = each.wire;
    step.set_when(each.when);
  }
  (*pipeline.mutable_outputs())["y"] = output;
  return pipeline.SerializeAsString();
}

// Rows on whose way each condition comes out as the bits of `way` say. The tests of a plan are told
// apart by the library alone, so the walk below is done with the library's own Condition and
// nothing else of it: which rows come where is worked out anew.
class Walk {
 public:
  Walk(const pipeline::Plan& plan, size_t way) : plan_(plan), way_(way), runs_(plan.steps.size()) {
    for (const size_t i : plan_.order) runs_[i] = Runs(plan_.steps[i]);
  }

  bool Has(const pipeline::Plan::Wire& wire) const {
    for (const Place& place : wire) {
      if (At(place)) return true;
    }
    return false;
  }

 private:
  bool At(const Place& place) const {
    return place.step == Place::kInputs || runs_[static_cast<size_t>(place.step)];
  }

  bool Runs(const pipeline::Plan::Step& step) {
    for (const auto& wire : step.inputs) {
      if (!Has(wire)) return false;
    }
    if (!step.when) return true;
    if (!At(step.asked)) return false;
    size_t test = 0;
    while (test < tests_.size() && !tests_[test]->SameTest(*step.when)) ++test;
    if (test == tests_.size()) tests_.push_back(&*step.when);
    return (((way_ >> test) & 1) != 0) != step.when->negated();
  }

  const pipeline::Plan& plan_;
  const size_t way_;
  std::vector<bool> runs_;
  std::vector<const pipeline::Condition*> tests_;
};

void Check(const pipeline::Plan& plan) {
  std::set<size_t> there;
  const auto is_there = [&](const Place& place) {
    return place.step == Place::kInputs || there.contains(static_cast<size_t>(place.step));
  };
  for (const size_t i : plan.order) {
    for (const auto& wire : plan.steps[i].inputs) {
      FuzzExpect(!wire.empty(), "every input is wired");
      for (const Place& place : wire)
        FuzzExpect(is_there(place), "nothing is used before it is there");
    }
    if (plan.steps[i].when) FuzzExpect(is_there(plan.steps[i].asked), "nor asked");
    there.insert(i);
  }
  FuzzExpect(there.size() == plan.steps.size(), "every step is run, once");
  FuzzExpect(plan.order.size() == plan.steps.size(), "every step is run, once");
  FuzzExpect(plan.signature.outputs.size() == plan.outputs.size(), "every output is described");
  for (size_t way = 0; way < size_t{1} << pipeline::PipelineGraph::kMaxTests; ++way) {
    const Walk walk(plan, way);
    for (const auto& wire : plan.outputs) FuzzExpect(walk.Has(wire), "every row has a value");
  }
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  return {
      Seed("photo", {{"a", "p", "photo", "inputs.photo", ""}, {"b", "m", "x", "a.x", ""}},
           "b.score"),
      Seed("x",
           {{"small", "m", "x", "inputs.x", ""},
            {"large", "m", "x", "small.x", "small.score < 0.9"},
            {"third", "m", "x", "large.x | small.x", "small.kind not in [\"a\", \"b\"]"}},
           "third.score | large.score | small.score"),
      Seed("x",
           {{"a", "m", "x", "inputs.x", ""},
            {"b", "m", "x", "inputs.x", "a.score >= 1"},
            {"c", "m", "x", "a.x", "a.score < 1"}},
           "b.kind | c.kind"),
      Seed("x", {{"a", "f", "x", "inputs.x", ""}}, "a.x"),
      Seed("x", {{"a", "m", "x", "b.x", ""}, {"b", "m", "x", "a.x", ""}}, "a.x"),
  };
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  registry::v1::Pipeline definition;
  if (!definition.ParseFromArray(data, static_cast<int>(size))) return 0;
  const auto graph = pipeline::PipelineGraph::Parse(definition, "pipeline");
  if (!graph.ok()) {
    FuzzExpect(FieldOf(graph.status()).starts_with("pipeline."), "a fault has a place");
    return 0;
  }
  std::vector<Signature> signatures;
  for (const auto& step : definition.steps())
    signatures.push_back(SignatureOf(step.model_version()));
  const auto plan = graph->Bind(signatures);
  if (plan.ok()) {
    Check(*plan);
  } else {
    FuzzExpect(FieldOf(plan.status()).starts_with("pipeline."), "a fault has a place");
  }
  return 0;
}
