#include "services/inference/pipeline/pipeline_model.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "services/inference/batching/batch_tensors.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

using pipeline::Plan;

/// Of the batch, ascending.
using Rows = std::vector<int64_t>;

Rows Both(const Rows& a, const Rows& b) {
  Rows both;
  std::ranges::set_intersection(a, b, std::back_inserter(both));
  return both;
}

Rows Either(const Rows& a, const Rows& b) {
  Rows either;
  std::ranges::set_union(a, b, std::back_inserter(either));
  return either;
}

bool HasConditions(const Plan& plan) {
  return std::ranges::any_of(plan.steps,
                             [](const Plan::Step& step) { return step.when.has_value(); });
}

}  // namespace

// One run: what the steps have given so far, and which rows of it there are.
//
// A pipeline without conditions knows no rows (its tensors need not have any): all its sets of rows
// are empty, which is all there are.
class PipelineModel::Walk {
 public:
  Walk(const PipelineModel& model, const TensorBatch& inputs)
      : plan_(model.plan_), models_(model.models_), inputs_(inputs), given_(plan_.steps.size()) {
    if (model.parts_rows_) {
      all_.resize(static_cast<size_t>(inputs[0].shape()[0]));
      std::iota(all_.begin(), all_.end(), 0);
    }
  }

  absl::Status RunStep(size_t i, absl::Time deadline) {
    const Plan::Step& step = plan_.steps[i];
    Given& given = given_[i];
    given.rows = RowsFor(step);
    if (IsSkipped(given.rows)) return absl::OkStatus();
    const std::vector<TensorSpec>& takes = models_[i]->signature().inputs;
    TensorBatch inputs;
    inputs.reserve(takes.size());
    for (size_t k = 0; k < takes.size(); ++k) {
      ASSIGN_OR_RETURN(Tensor input, Take(takes[k].name, step.inputs[k], given.rows));
      RETURN_IF_ERROR(input.CheckAgainst(takes[k], takes[k].name));
      inputs.push_back(std::move(input));
    }
    ASSIGN_OR_RETURN(given.tensors, models_[i]->Run(inputs, deadline));
    RETURN_IF_ERROR(CheckOutputs(models_[i]->signature(), given.tensors));
    return CheckRowCount(given);
  }

  absl::StatusOr<TensorBatch> Outputs() const {
    TensorBatch outputs;
    outputs.reserve(plan_.outputs.size());
    for (size_t k = 0; k < plan_.outputs.size(); ++k) {
      const TensorSpec& spec = plan_.signature.outputs[k];
      ASSIGN_OR_RETURN(Tensor output, Take(spec.name, plan_.outputs[k], all_));
      // The caller's inputs may be gone before its outputs are.
      const bool shared = std::ranges::any_of(inputs_, [&](const Tensor& input) {
        return input.data().data() == output.data().data();
      });
      outputs.push_back(shared ? Copy(output) : std::move(output));
    }
    return outputs;
  }

  /// All inputs must have the rows of the first.
  absl::Status CheckInputs() const {
    for (const Tensor& input : inputs_) {
      if (all_.empty() || input.shape()[0] == std::ssize(all_)) continue;
      return InvalidField(input.name(), fmt::format("has {} rows, and {} has {}", input.shape()[0],
                                                    inputs_[0].name(), all_.size()));
    }
    return absl::OkStatus();
  }

 private:
  struct Given {
    Rows rows;
    /// None where the step was skipped.
    TensorBatch tensors;
  };

  bool IsSkipped(const Rows& rows) const { return rows.empty() && !all_.empty(); }

  const Rows& RowsAt(const Plan::Place& place) const {
    return place.step == Plan::Place::kInputs ? all_ : given_[static_cast<size_t>(place.step)].rows;
  }
  const Tensor& TensorAt(const Plan::Place& place) const {
    return place.step == Plan::Place::kInputs
               ? inputs_[place.index]
               : given_[static_cast<size_t>(place.step)].tensors[place.index];
  }

  Rows RowsFor(const Plan::Step& step) const {
    Rows rows = all_;
    for (const Plan::Wire& wire : step.inputs) {
      Rows its = RowsAt(wire[0]);
      for (size_t i = 1; i < wire.size(); ++i) its = Either(its, RowsAt(wire[i]));
      rows = Both(rows, its);
    }
    if (!step.when || IsSkipped(rows)) return rows;
    const Rows& asked = RowsAt(step.asked);
    if (IsSkipped(asked)) return {};
    const std::vector<bool> holds = step.when->Rows(TensorAt(step.asked));
    Rows passed;
    for (size_t i = 0; i < asked.size(); ++i) {
      if (holds[i]) passed.push_back(asked[i]);
    }
    return Both(rows, passed);
  }

  absl::StatusOr<Tensor> Take(const std::string& name, const Plan::Wire& wire,
                              const Rows& rows) const {
    std::vector<SomeRows> parts;
    for (const Plan::Place& place : wire) {
      if (!IsSkipped(RowsAt(place))) parts.push_back({TensorAt(place), RowsAt(place)});
    }
    return TakeRows(name, parts, rows);
  }

  absl::Status CheckRowCount(const Given& given) const {
    for (const Tensor& tensor : given.tensors) {
      if (all_.empty() || tensor.shape()[0] == std::ssize(given.rows)) continue;
      return absl::InternalError(fmt::format("the model gave {} {} for {} rows", tensor.name(),
                                             tensor.shape().ToString(), given.rows.size()));
    }
    return absl::OkStatus();
  }

  const Plan& plan_;
  const std::vector<ModelPtr>& models_;
  const TensorBatch& inputs_;
  Rows all_;
  std::vector<Given> given_;
};

PipelineModel::PipelineModel(Plan plan, std::vector<ModelPtr> models, const Clock& clock)
    : plan_(std::move(plan)),
      models_(std::move(models)),
      parts_rows_(HasConditions(plan_)),
      clock_(clock) {}

// What all of them take; several steps may be one model.
int64_t PipelineModel::Sum(int64_t (LoadedModel::*bytes_of)() const) const {
  int64_t bytes = 0;
  for (const ModelPtr& model : std::set<ModelPtr>(models_.begin(), models_.end())) {
    bytes += (*model.*bytes_of)();
  }
  return bytes;
}

int64_t PipelineModel::memory_bytes() const { return Sum(&LoadedModel::memory_bytes); }

int64_t PipelineModel::device_memory_bytes() const {
  return Sum(&LoadedModel::device_memory_bytes);
}

absl::StatusOr<TensorBatch> PipelineModel::Run(const TensorBatch& inputs,
                                               absl::Time deadline) const {
  Walk walk(*this, inputs);
  RETURN_IF_ERROR(walk.CheckInputs());
  for (const size_t i : plan_.order) {
    const std::string& name = plan_.steps[i].name;
    if (i != plan_.order[0] && deadline != absl::InfiniteFuture() && clock_.Now() >= deadline) {
      return absl::DeadlineExceededError(fmt::format("the deadline passed before step {}", name));
    }
    if (const absl::Status run = walk.RunStep(i, deadline); !run.ok()) {
      return Annotate(run, fmt::format("step {}", name));
    }
  }
  return walk.Outputs();
}

}  // namespace slipway::worker
