#include "common/pipeline/pipeline_graph.h"

#include <algorithm>
#include <bitset>
#include <set>
#include <utility>

#include "common/names/names.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::pipeline {
namespace {

using Place = Plan::Place;

constexpr std::string_view kInputs = "inputs";
// Each step once, and an input.
constexpr size_t kMaxAlternatives = PipelineGraph::kMaxSteps + 1;

// A wire must be able to name it.
absl::Status CheckTensorName(std::string_view name, const std::string& field) {
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](unsigned char c) { return c > ' ' && c != 0x7f && c != '|'; });
  if (plain && !name.empty() && name.size() <= PipelineGraph::kMaxNameBytes) {
    return absl::OkStatus();
  }
  return InvalidField(field, fmt::format("a tensor's name must have 1 to {} characters, and no "
                                         "space and no '|'",
                                         PipelineGraph::kMaxNameBytes));
}

absl::Status CheckCount(int count, int most, const std::string& field) {
  if (count >= 1 && count <= most) return absl::OkStatus();
  return InvalidField(field, fmt::format("must be 1 to {}, got {}", most, count));
}

// Which rows a step runs on, as far as the pipeline itself tells: for each way in which its tests
// may come out for a row, does the row come here? Tests that depend on each other ("x < 1", "x <
// 2") are not seen to: what holds for every way holds.
using RowSet = std::bitset<size_t{1} << PipelineGraph::kMaxTests>;

RowSet RowsWhere(size_t test, bool negated) {
  RowSet rows;
  for (size_t way = 0; way < rows.size(); ++way) rows[way] = ((way >> test) & 1) != negated;
  return rows;
}

}  // namespace

class PipelineGraph::Parser {
 public:
  Parser(const registry::v1::Pipeline& pipeline, PipelineGraph& graph)
      : pipeline_(pipeline), graph_(graph) {}

  absl::Status Run() {
    RETURN_IF_ERROR(ReadNames());
    for (int i = 0; i < pipeline_.steps_size(); ++i) RETURN_IF_ERROR(ReadStep(i));
    RETURN_IF_ERROR(ReadOutputs());
    RETURN_IF_ERROR(SetOrder());
    RETURN_IF_ERROR(CheckAllUsed());
    return CheckRows();
  }

 private:
  std::string At(std::string_view path) const { return fmt::format("{}.{}", graph_.field_, path); }
  std::string AtStep(size_t i) const { return fmt::format("{}.steps[{}]", graph_.field_, i); }

  absl::Status ReadNames() {
    RETURN_IF_ERROR(CheckCount(pipeline_.inputs_size(), kMaxTensors, At("inputs")));
    RETURN_IF_ERROR(CheckCount(pipeline_.steps_size(), kMaxSteps, At("steps")));
    RETURN_IF_ERROR(
        CheckCount(static_cast<int>(pipeline_.outputs_size()), kMaxTensors, At("outputs")));
    for (const std::string& input : pipeline_.inputs()) {
      const std::string at = At(fmt::format("inputs[{}]", graph_.inputs_.size()));
      RETURN_IF_ERROR(CheckTensorName(input, at));
      if (HasInput(input)) return InvalidField(at, fmt::format("\"{}\" is there twice", input));
      graph_.inputs_.push_back(input);
    }
    for (const auto& step : pipeline_.steps()) {
      const std::string at = AtStep(graph_.steps_.size()) + ".name";
      RETURN_IF_ERROR(CheckSlug(at, step.name()));
      if (step.name() == kInputs || FindStep(step.name()) != Place::kInputs) {
        return InvalidField(at, fmt::format("\"{}\" is there already", step.name()));
      }
      graph_.steps_.push_back({.name = step.name(), .model_version = step.model_version()});
    }
    return absl::OkStatus();
  }

  bool HasInput(const std::string& name) const {
    return std::find(graph_.inputs_.begin(), graph_.inputs_.end(), name) != graph_.inputs_.end();
  }
  // kInputs where there is none.
  int FindStep(std::string_view name) const {
    const auto& steps = graph_.steps_;
    const auto found = std::find_if(steps.begin(), steps.end(),
                                    [&](const Step& step) { return step.name == name; });
    return found == steps.end() ? Place::kInputs : static_cast<int>(found - steps.begin());
  }

  absl::StatusOr<Source> ReadSource(std::string_view text, const std::string& field) {
    const size_t dot = text.find('.');
    if (dot == std::string_view::npos) {
      return InvalidField(field, fmt::format("\"{}\" must be like \"inputs.name\" or "
                                             "\"step.output\"",
                                             text.substr(0, 80)));
    }
    Source source;
    source.tensor = text.substr(dot + 1);
    RETURN_IF_ERROR(CheckTensorName(source.tensor, field));
    const std::string_view from = text.substr(0, dot);
    if (from == kInputs) {
      if (HasInput(source.tensor)) return source;
      return InvalidField(field, fmt::format("the pipeline has no input \"{}\"; it has {}",
                                             source.tensor, fmt::join(graph_.inputs_, ", ")));
    }
    source.step = FindStep(from);
    if (source.step != Place::kInputs) return source;
    return InvalidField(field, fmt::format("there is no step \"{}\"", from.substr(0, 80)));
  }

  absl::StatusOr<Wire> ReadWire(std::string_view text, const std::string& field) {
    Wire wire;
    for (;;) {
      const size_t bar = text.find('|');
      ASSIGN_OR_RETURN(Source source, ReadSource(WithoutBlanks(text.substr(0, bar)), field));
      wire.push_back(std::move(source));
      if (bar == std::string_view::npos) return wire;
      if (wire.size() == kMaxAlternatives) {
        return InvalidField(field,
                            fmt::format("must be at most {} alternatives", kMaxAlternatives));
      }
      text.remove_prefix(bar + 1);
    }
  }

  absl::Status ReadStep(int i) {
    const auto& written = pipeline_.steps(i);
    Step& step = graph_.steps_[static_cast<size_t>(i)];
    const std::string here = AtStep(static_cast<size_t>(i));
    RETURN_IF_ERROR(
        CheckCount(static_cast<int>(written.inputs_size()), kMaxTensors, here + ".inputs"));
    // In an order: of several faults always the same is named.
    const std::map<std::string, std::string> inputs(written.inputs().begin(),
                                                    written.inputs().end());
    for (const auto& [name, text] : inputs) {
      RETURN_IF_ERROR(CheckTensorName(name, here + ".inputs"));
      ASSIGN_OR_RETURN(step.inputs[name], ReadWire(text, fmt::format("{}.inputs.{}", here, name)));
    }
    if (written.when().empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(step.when, Condition::Parse(written.when(), here + ".when"));
    ASSIGN_OR_RETURN(step.asked, ReadSource(step.when->tensor(), here + ".when"));
    return absl::OkStatus();
  }

  absl::Status ReadOutputs() {
    const std::map<std::string, std::string> outputs(pipeline_.outputs().begin(),
                                                     pipeline_.outputs().end());
    for (const auto& [name, text] : outputs) {
      RETURN_IF_ERROR(CheckTensorName(name, At("outputs")));
      ASSIGN_OR_RETURN(graph_.outputs_[name], ReadWire(text, At("outputs." + name)));
    }
    return absl::OkStatus();
  }

  // What the step takes something from.
  static std::vector<Source> SourcesOf(const Step& step) {
    std::vector<Source> sources;
    for (const auto& [name, wire] : step.inputs) {
      sources.insert(sources.end(), wire.begin(), wire.end());
    }
    if (step.when) sources.push_back(step.asked);
    return sources;
  }

  absl::Status CheckAllUsed() {
    std::set<std::string> used_inputs;
    std::vector<bool> used_steps(graph_.steps_.size());
    std::vector<Source> sources;
    for (const auto& [name, wire] : graph_.outputs_) {
      sources.insert(sources.end(), wire.begin(), wire.end());
    }
    while (!sources.empty()) {
      const Source source = std::move(sources.back());
      sources.pop_back();
      if (source.step == Place::kInputs) {
        used_inputs.insert(source.tensor);
        continue;
      }
      const auto step = static_cast<size_t>(source.step);
      if (used_steps[step]) continue;
      used_steps[step] = true;
      for (Source& each : SourcesOf(graph_.steps_[step])) sources.push_back(std::move(each));
    }
    for (size_t i = 0; i < used_steps.size(); ++i) {
      if (!used_steps[i]) return InvalidField(AtStep(i), "no output depends on it");
    }
    for (size_t i = 0; i < graph_.inputs_.size(); ++i) {
      if (!used_inputs.contains(graph_.inputs_[i])) {
        return InvalidField(At(fmt::format("inputs[{}]", i)), "no output depends on it");
      }
    }
    return absl::OkStatus();
  }

  absl::Status SetOrder() {
    std::vector<Visit> visits(graph_.steps_.size(), Visit::kNone);
    std::vector<size_t> way;
    for (size_t i = 0; i < visits.size(); ++i) RETURN_IF_ERROR(Arrange(i, visits, way));
    return absl::OkStatus();
  }

  enum class Visit { kNone, kUnderWay, kDone };
  absl::Status Arrange(size_t i, std::vector<Visit>& visits, std::vector<size_t>& way) {
    if (visits[i] == Visit::kDone) return absl::OkStatus();
    way.push_back(i);
    if (visits[i] == Visit::kUnderWay) {
      std::vector<std::string_view> ring;
      for (auto at = std::find(way.begin(), way.end(), i); at != way.end(); ++at) {
        ring.push_back(graph_.steps_[*at].name);
      }
      return InvalidField(AtStep(i),
                          fmt::format("steps wait for each other: {}", fmt::join(ring, " <- ")));
    }
    visits[i] = Visit::kUnderWay;
    for (const Source& source : SourcesOf(graph_.steps_[i])) {
      if (source.step == Place::kInputs) continue;
      RETURN_IF_ERROR(Arrange(static_cast<size_t>(source.step), visits, way));
    }
    way.pop_back();
    visits[i] = Visit::kDone;
    graph_.order_.push_back(i);
    return absl::OkStatus();
  }

  // ---- Which rows come where.

  absl::StatusOr<size_t> TestOf(const Condition& condition, const std::string& field) {
    const auto known = std::find_if(tests_.begin(), tests_.end(), [&](const Condition* test) {
      return test->SameTest(condition);
    });
    if (known == tests_.end() && tests_.size() == kMaxTests) {
      return InvalidField(field, fmt::format("a pipeline has at most {} different conditions, a "
                                             "condition and its opposite counted once",
                                             kMaxTests));
    }
    const auto test = static_cast<size_t>(known - tests_.begin());
    if (known == tests_.end()) tests_.push_back(&condition);
    return test;
  }

  RowSet RowsOf(const Source& source) const {
    return source.step == Place::kInputs ? RowSet().set() : rows_[static_cast<size_t>(source.step)];
  }

  absl::StatusOr<RowSet> RowsOf(const Wire& wire, const std::string& field) const {
    RowSet rows;
    for (size_t i = 0; i < wire.size(); ++i) {
      const RowSet more = RowsOf(wire[i]);
      if ((more & ~rows).none()) {
        return InvalidField(field, fmt::format("alternative {} is never taken: those before it "
                                               "have all of its rows",
                                               i + 1));
      }
      rows |= more;
    }
    return rows;
  }

  absl::Status CheckRows() {
    rows_.resize(graph_.steps_.size());
    for (const size_t i : graph_.order_) {
      const Step& step = graph_.steps_[i];
      RowSet& rows = rows_[i].set();
      for (const auto& [name, wire] : step.inputs) {
        ASSIGN_OR_RETURN(const RowSet its,
                         RowsOf(wire, fmt::format("{}.inputs.{}", AtStep(i), name)));
        rows &= its;
      }
      if (step.when) {
        ASSIGN_OR_RETURN(const size_t test, TestOf(*step.when, AtStep(i) + ".when"));
        rows &= RowsOf(step.asked) & RowsWhere(test, step.when->negated());
      }
      if (rows.none()) {
        return InvalidField(AtStep(i),
                            "no row can come here: its conditions and those of what it "
                            "takes exclude each other");
      }
    }
    for (const auto& [name, wire] : graph_.outputs_) {
      const std::string at = At("outputs." + name);
      ASSIGN_OR_RETURN(const RowSet rows, RowsOf(wire, at));
      if (!rows.all()) {
        return InvalidField(at,
                            "some rows have no value: add an alternative for those that no "
                            "condition lets through (\"a.x | b.x\")");
      }
    }
    return absl::OkStatus();
  }

  const registry::v1::Pipeline& pipeline_;
  PipelineGraph& graph_;
  std::vector<const Condition*> tests_;
  std::vector<RowSet> rows_;
};

absl::StatusOr<PipelineGraph> PipelineGraph::Parse(const registry::v1::Pipeline& pipeline,
                                                   std::string_view field) {
  PipelineGraph graph;
  graph.field_ = field;
  RETURN_IF_ERROR(Parser(pipeline, graph).Run());
  return graph;
}

class PipelineGraph::Binder {
 public:
  Binder(const PipelineGraph& graph, std::span<const Signature> signatures)
      : graph_(graph), signatures_(signatures) {}

  absl::StatusOr<Plan> Run() {
    inputs_.resize(graph_.inputs_.size());
    plan_.order = graph_.order_;
    for (size_t i = 0; i < graph_.steps_.size(); ++i) RETURN_IF_ERROR(BindInputs(i));
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i]) {
        return InvalidField(fmt::format("{}.inputs[{}]", graph_.field_, i),
                            "no step takes it, so that its type is not known");
      }
      plan_.signature.inputs.push_back(*inputs_[i]);
    }
    // Now that the types of the pipeline's own inputs are known.
    RETURN_IF_ERROR(BindConditions());
    for (const auto& [name, wire] : graph_.outputs_) RETURN_IF_ERROR(BindOutput(name, wire));
    return std::move(plan_);
  }

 private:
  std::string AtStep(size_t i) const { return fmt::format("{}.steps[{}]", graph_.field_, i); }

  absl::Status BindInputs(size_t i) {
    const Step& step = graph_.steps_[i];
    if (!signatures_[i].states.empty()) {
      return InvalidField(AtStep(i) + ".model_version",
                          "keeps a state between the calls of a sequence, which a step cannot");
    }
    Plan::Step& planned = plan_.steps.emplace_back();
    planned.name = step.name;
    planned.model_version = step.model_version;
    const std::vector<TensorSpec>& takes = signatures_[i].inputs;
    for (const auto& [name, wire] : step.inputs) {
      if (!IndexOf(takes, name)) {
        return InvalidField(fmt::format("{}.inputs.{}", AtStep(i), name),
                            fmt::format("its model has no such input; it has {}", Names(takes)));
      }
    }
    for (const TensorSpec& spec : takes) {
      const auto wire = step.inputs.find(spec.name);
      if (wire == step.inputs.end()) {
        return InvalidField(AtStep(i) + ".inputs",
                            fmt::format("says nothing of the input \"{}\"", spec.name));
      }
      const std::string at = fmt::format("{}.inputs.{}", AtStep(i), spec.name);
      Plan::Wire& places = planned.inputs.emplace_back();
      for (const Source& source : wire->second) {
        ASSIGN_OR_RETURN(const Place place, Find(source, at));
        if (place.step == Place::kInputs) {
          RETURN_IF_ERROR(Narrow(place.index, spec, at));
        } else {
          RETURN_IF_ERROR(CheckFits(SpecAt(place), spec, at));
        }
        places.push_back(place);
      }
    }
    return absl::OkStatus();
  }

  absl::Status BindConditions() {
    const bool conditional = std::any_of(graph_.steps_.begin(), graph_.steps_.end(),
                                         [](const Step& step) { return step.when.has_value(); });
    for (size_t i = 0; conditional && i < graph_.steps_.size(); ++i) {
      if (!TakesBatches(signatures_[i])) {
        return InvalidField(AtStep(i) + ".model_version",
                            "has tensors whose dimension 0 is fixed: in a pipeline with conditions "
                            "every model takes any number of rows");
      }
      const Step& step = graph_.steps_[i];
      if (!step.when) continue;
      const std::string at = AtStep(i) + ".when";
      Plan::Step& planned = plan_.steps[i];
      ASSIGN_OR_RETURN(planned.asked, Find(step.asked, at));
      RETURN_IF_ERROR(step.when->CheckAgainst(SpecAt(planned.asked), at));
      planned.when = step.when;
    }
    return absl::OkStatus();
  }

  absl::Status BindOutput(const std::string& name, const Wire& wire) {
    const std::string at = fmt::format("{}.outputs.{}", graph_.field_, name);
    Plan::Wire& places = plan_.outputs.emplace_back();
    TensorSpec spec;
    for (const Source& source : wire) {
      ASSIGN_OR_RETURN(const Place place, Find(source, at));
      const TensorSpec& from = SpecAt(place);
      if (places.empty()) {
        spec = from;
      } else {
        RETURN_IF_ERROR(CheckFits(from, spec, at));
        for (size_t d = 0; d < spec.shape.rank(); ++d) {
          if (spec.shape[d] != from.shape[d]) spec.shape[d] = Shape::kAny;
        }
      }
      places.push_back(place);
    }
    spec.name = name;
    plan_.signature.outputs.push_back(std::move(spec));
    return absl::OkStatus();
  }

  absl::StatusOr<Place> Find(const Source& source, const std::string& field) const {
    if (source.step == Place::kInputs) {
      const auto found = std::find(graph_.inputs_.begin(), graph_.inputs_.end(), source.tensor);
      return Place{Place::kInputs, static_cast<size_t>(found - graph_.inputs_.begin())};
    }
    const auto step = static_cast<size_t>(source.step);
    const std::vector<TensorSpec>& gives = signatures_[step].outputs;
    if (const auto place = IndexOf(gives, source.tensor)) return Place{source.step, *place};
    return InvalidField(field, fmt::format("the step {} has no output \"{}\"; it has {}",
                                           graph_.steps_[step].name, source.tensor, Names(gives)));
  }

  // Of an input: once it is known.
  const TensorSpec& SpecAt(const Place& place) const {
    return place.step == Place::kInputs
               ? plan_.signature.inputs[place.index]
               : signatures_[static_cast<size_t>(place.step)].outputs[place.index];
  }

  static std::string Names(const std::vector<TensorSpec>& specs) {
    std::vector<std::string_view> names;
    for (const TensorSpec& spec : specs) names.push_back(spec.name);
    return fmt::format("{}", fmt::join(names, ", "));
  }

  static absl::Status CheckFits(const TensorSpec& from, const TensorSpec& to,
                                const std::string& field) {
    const Shape& a = from.shape;
    const Shape& b = to.shape;
    bool fits = from.dtype == to.dtype && a.rank() == b.rank();
    for (size_t d = 0; fits && d < a.rank(); ++d) {
      // Rows of different calls run together where dimension 0 is free: all steps agree on that.
      const bool open = d > 0 && (a[d] == Shape::kAny || b[d] == Shape::kAny);
      fits = a[d] == b[d] || open;
    }
    if (fits) return absl::OkStatus();
    return InvalidField(field, fmt::format("\"{}\" does not fit \"{}\"", ToText(from), ToText(to)));
  }

  // Of what several steps take, the pipeline's own input is what all of them take.
  absl::Status Narrow(size_t input, const TensorSpec& to, const std::string& field) {
    std::optional<TensorSpec>& spec = inputs_[input];
    if (!spec) {
      spec = to;
      spec->name = graph_.inputs_[input];
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(CheckFits(*spec, to, field));
    for (size_t d = 0; d < to.shape.rank(); ++d) {
      if (spec->shape[d] == Shape::kAny) spec->shape[d] = to.shape[d];
    }
    return absl::OkStatus();
  }

  const PipelineGraph& graph_;
  const std::span<const Signature> signatures_;
  std::vector<std::optional<TensorSpec>> inputs_;
  Plan plan_;
};

absl::StatusOr<Plan> PipelineGraph::Bind(std::span<const Signature> signatures) const {
  return Binder(*this, signatures).Run();
}

}  // namespace slipway::pipeline
