// A pipeline of any lines, with models of one signature or another behind its steps: what is taken
// can be run, in an order in which nothing is used before it is there, and gives every row of every
// output a value.

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
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

// A pipeline as lines, so that a changed byte changes a name, a wire or a condition: "i NAME" and
// "o NAME WIRE" of the pipeline, "s NAME VERSION", and of the step before it "x INPUT WIRE" and
// "w CONDITION".
registry::v1::Pipeline Read(std::string_view text) {
  const auto take = [](std::string_view& from, char end) {
    const size_t at = std::min(from.find(end), from.size());
    const std::string taken(from.substr(0, at));
    from.remove_prefix(std::min(at + 1, from.size()));
    return taken;
  };
  registry::v1::Pipeline pipeline;
  while (!text.empty()) {
    const std::string whole = take(text, '\n');
    std::string_view line = whole;
    const std::string kind = take(line, ' ');
    if (kind == "i") {
      pipeline.add_inputs(std::string(line));
    } else if (kind == "o") {
      const std::string name = take(line, ' ');
      (*pipeline.mutable_outputs())[name] = line;
    } else if (kind == "s") {
      auto& step = *pipeline.add_steps();
      step.set_name(take(line, ' '));
      step.set_model_version(std::string(line));
    } else if (pipeline.steps_size() > 0) {
      auto& step = *pipeline.mutable_steps(pipeline.steps_size() - 1);
      if (kind == "w") step.set_when(std::string(line));
      if (kind == "x") {
        const std::string name = take(line, ' ');
        (*step.mutable_inputs())[name] = line;
      }
    }
  }
  return pipeline;
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
      "i photo\ns a p\nx photo inputs.photo\ns b m\nx x a.x\no y b.score\n",
      "i x\ns small m\nx x inputs.x\ns large m\nx x small.x\nw small.score < 0.9\ns third m\n"
      "x x large.x | small.x\nw small.kind not in [\"a\", \"b\"]\n"
      "o y third.score | large.score | small.score\no z small.kind\n",
      "i x\ns a m\nx x inputs.x\ns b m\nx x inputs.x\nw a.score >= 1\ns c m\nx x a.x\nw a.score < "
      "1\n"
      "o y b.kind | c.kind\n",
      "i x\ns a f\nx x inputs.x\no y a.x\n",
      "i x\ns a m\nx x b.x\ns b m\nx x a.x\no y a.x\n",
  };
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const registry::v1::Pipeline definition = Read({reinterpret_cast<const char*>(data), size});
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
