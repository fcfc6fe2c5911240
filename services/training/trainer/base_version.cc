#include "services/training/trainer/base_version.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/nn/fine_tuning.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "services/training/spec/base_spec.h"

namespace slipway::trainer {
namespace {

using training::v1::BaseSpec;

constexpr char kVersionField[] = "spec.base.version";
constexpr char kFreezeField[] = "spec.base.freeze";
constexpr uint64_t kMaxDescriptionBytes = 64 << 20;
constexpr size_t kShownLayers = 20;

using Names = std::set<std::string>;

absl::Status Refuse(std::string_view file, const absl::Status& why) {
  return InvalidField(kVersionField, fmt::format("{}: {}", file, std::string(why.message())));
}

std::string Print(const TensorSpec& rows) {
  return fmt::format("{} {}", DataTypeName(rows.dtype), rows.shape.ToString());
}

bool SameRows(const TensorSpec& a, const TensorSpec& b) {
  return a.dtype == b.dtype && a.shape == b.shape;
}

// Those of `names` that one of `patterns` speaks of. Each pattern must speak of one.
absl::StatusOr<Names> Choose(const std::vector<std::string>& names,
                             const google::protobuf::RepeatedPtrField<std::string>& patterns,
                             std::string_view field, std::string_view what) {
  Names chosen;
  for (int i = 0; i < patterns.size(); ++i) {
    bool found = false;
    for (const std::string& name : names) {
      if (::fnmatch(patterns[i].c_str(), name.c_str(), 0) != 0) continue;
      chosen.insert(name);
      found = true;
    }
    if (found) continue;
    const size_t shown = std::min(kShownLayers, names.size());
    return InvalidField(
        fmt::format("{}[{}]", field, i),
        fmt::format("is the name of no {}; there are {}{}", what,
                    fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "),
                    names.size() > shown ? fmt::format(" and {} more", names.size() - shown) : ""));
  }
  return chosen;
}

// The base's tensors that start the network; each that the two do not share is an error, but for
// their last layers' where these differ.
absl::StatusOr<std::vector<Tensor>> TakeWeights(const training::v1::JobSpec& job,
                                                const BaseVersion& base,
                                                const nn::ModelDescription& description,
                                                const nn::Network& network, bool keep_head) {
  const auto misfit = [&](std::string problem) {
    if (!SameRows(description.input, base.description.input)) {
      return InvalidField("spec.data.train.inputs",
                          fmt::format("{}; rows are {}, and the base takes {}", problem,
                                      Print(description.input), Print(base.description.input)));
    }
    return InvalidField(job.has_architecture() ? "spec.architecture" : kVersionField, problem);
  };
  const auto head_of = [&](const nn::Network& of) {
    Names names;
    if (keep_head) return names;
    for (const nn::ParameterId id : nn::HeadOf(of).parameters) names.insert(of.parameter(id).name);
    return names;
  };
  const Names new_head = head_of(network);
  Names known = head_of(base.network);
  std::vector<Tensor> taken;
  for (const nn::Parameter& parameter : network.parameters()) {
    if (new_head.contains(parameter.name)) continue;
    const auto& theirs = base.network.parameters();
    const auto same = std::find_if(theirs.begin(), theirs.end(), [&](const nn::Parameter& other) {
      return other.name == parameter.name;
    });
    if (same == theirs.end()) {
      return misfit(fmt::format("the base has no weights {}", parameter.name));
    }
    if (same->shape != parameter.shape) {
      return misfit(fmt::format("{} is {}, and the base's is {}", parameter.name,
                                parameter.shape.ToString(), same->shape.ToString()));
    }
    known.insert(parameter.name);
    if (base.weights.has_value()) taken.push_back(*base.weights->Find(parameter.name));
  }
  for (const nn::Parameter& parameter : base.network.parameters()) {
    if (known.contains(parameter.name)) continue;
    return misfit(fmt::format("there is no place for the base's weights {}", parameter.name));
  }
  return taken;
}

std::vector<std::string> NamesOf(const nn::Network& network,
                                 absl::FunctionRef<bool(const nn::Layer&)> which) {
  std::vector<std::string> names;
  for (const nn::Layer& layer : network.layers()) {
    if (which(layer)) names.push_back(layer.name);
  }
  return names;
}

bool HasWeights(const nn::Layer& layer) { return !layer.parameters.empty(); }

absl::StatusOr<nn::Network> FreezeAsAsked(const BaseSpec& spec, const nn::Network& network,
                                          bool keep_head) {
  const std::string& head = nn::HeadOf(network).name;
  const std::vector<std::string> names = NamesOf(network, HasWeights);
  Names frozen;
  if (spec.freeze_size() == 1 && spec.freeze(0) == training::kAllButHead) {
    frozen.insert(names.begin(), names.end());
    frozen.erase(head);
  } else {
    ASSIGN_OR_RETURN(frozen, Choose(names, spec.freeze(), kFreezeField, "layer with weights"));
  }
  if (!keep_head && frozen.contains(head)) {
    return InvalidField(kFreezeField, fmt::format("must not name {}, which is new", head));
  }
  nn::Network out =
      nn::Freeze(network, [&](const nn::Layer& layer) { return frozen.contains(layer.name); });
  if (out.trainable_count() == 0) return InvalidField(kFreezeField, "leaves nothing to train");
  return out;
}

absl::StatusOr<nn::Network> AdaptAsAsked(const training::v1::LoraSpec& spec,
                                         const nn::Network& network, bool keep_head) {
  const std::string& head = nn::HeadOf(network).name;
  const auto stays = [&](const nn::Layer& layer) { return keep_head || layer.name != head; };
  const std::vector<std::string> dense = NamesOf(network, [&](const nn::Layer& layer) {
    // One without a bias has a weight that is another layer's.
    const bool own = std::holds_alternative<nn::Gemm>(layer.op) && layer.parameters.size() == 2;
    return own && stays(layer);
  });
  if (dense.empty()) {
    return InvalidField("spec.base.lora",
                        "adapts dense layers, and this architecture has none before its last one");
  }
  Names adapted(dense.begin(), dense.end());
  if (spec.layers_size() > 0) {
    ASSIGN_OR_RETURN(adapted,
                     Choose(dense, spec.layers(), "spec.base.lora.layers", "dense layer to adapt"));
  }
  const double alpha = spec.alpha() > 0 ? spec.alpha() : spec.rank();
  return nn::AddAdapters(
      nn::Freeze(network, stays),
      {.rank = spec.rank(), .scale = alpha / spec.rank(), .dropout = spec.dropout()},
      [&](const nn::Layer& layer) { return adapted.contains(layer.name); });
}

}  // namespace

absl::StatusOr<BaseVersion> DescribeBase(std::string_view text) {
  auto description = nn::ModelDescription::Parse(text, "");
  if (!description.ok()) return Refuse(nn::kDescriptionFile, description.status());
  ASSIGN_OR_RETURN(nn::Network network, description->BuildNetwork(""));
  return BaseVersion{*std::move(description), std::move(network), std::nullopt, ""};
}

absl::StatusOr<BaseVersion> OpenBase(AttemptHost& host) {
  ASSIGN_OR_RETURN(const std::string description_path,
                   host.FetchBaseFile(std::string(nn::kDescriptionFile)));
  ASSIGN_OR_RETURN(const std::string weights_path,
                   host.FetchBaseFile(std::string(nn::kWeightsFile)));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(description_path, kMaxDescriptionBytes));
  ASSIGN_OR_RETURN(BaseVersion base, DescribeBase(text));
  auto weights = SafetensorsFile::Open(weights_path, SafetensorsFile::Access::kMap);
  if (!weights.ok()) return Refuse(nn::kWeightsFile, weights.status());
  if (const auto fit = nn::MatchParameters(base.network, weights->tensors()); !fit.ok()) {
    return Refuse(nn::kWeightsFile, fit.status());
  }
  Sha256 hash;
  hash.Update(text);
  for (const Tensor& tensor : weights->tensors()) hash.Update(tensor.data().view());
  base.weights = *std::move(weights);
  base.digest = hash.FinishHex();
  return base;
}

absl::Status TakeOver(const training::v1::JobSpec& job, const BaseVersion& base,
                      const TrainingData& data, nn::ModelDescription& description) {
  const bool refit = job.base().refit_preprocessing();
  if (!refit && !SameRows(base.description.input, description.input)) {
    return InvalidField("spec.data.train.inputs",
                        fmt::format("rows are {}, and the base's preprocessing takes {}",
                                    Print(description.input), Print(base.description.input)));
  }
  if (!refit) description.preprocessing = base.description.preprocessing;
  if (description.architecture != nullptr) return absl::OkStatus();
  if (refit && data.table.has_value() && data.table->tokenizer() != nullptr) {
    return InvalidField("spec.architecture",
                        "is required: the base's is made for the tokens of its own tokenizer");
  }
  description.architecture = base.description.architecture;
  if (description.task == nn::Task::kMaskedLanguageModel) {
    description.output =
        nn::OutputOf(description.task, description.architecture->embedding_width());
  }
  return absl::OkStatus();
}

bool KeepsHead(const BaseVersion& base, nn::Task task, const TrainingData& data) {
  const nn::ModelDescription& of = base.description;
  // Its last layer is the table of its tokens.
  if (task == nn::Task::kMaskedLanguageModel) {
    return of.task == task && of.table->ToJson() == data.table->ToJson();
  }
  return of.task == task && of.output == nn::OutputOf(task, data.outputs) &&
         (of.labels == data.labels || of.labels.empty() || data.labels.empty());
}

absl::StatusOr<FineTuning> PlanFineTuning(const training::v1::JobSpec& job, const BaseVersion& base,
                                          const nn::ModelDescription& description,
                                          const nn::Network& network, bool keep_head) {
  const BaseSpec& spec = job.base();
  FineTuning tuning;
  ASSIGN_OR_RETURN(tuning.weights, TakeWeights(job, base, description, network, keep_head));
  if (spec.has_lora()) {
    ASSIGN_OR_RETURN(tuning.network, AdaptAsAsked(spec.lora(), network, keep_head));
  } else {
    ASSIGN_OR_RETURN(tuning.network, FreezeAsAsked(spec, network, keep_head));
  }
  tuning.summary = fmt::format(
      "goes on from {}: preprocessing {}; the last layer {}; {} of {} weights are trained",
      spec.version(), spec.refit_preprocessing() ? "fitted anew" : "as it was",
      keep_head ? "goes on, too"
                : fmt::format("is new, for {} in place of {}", description.output.shape[1],
                              base.description.output.shape[1]),
      tuning.network.trainable_count(), network.trainable_count());
  return tuning;
}

}  // namespace slipway::trainer
