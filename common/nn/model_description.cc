#include "common/nn/model_description.h"

#include <array>
#include <utility>

#include "common/fields/json.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

using nlohmann::json;

constexpr int kFormat = 1;
constexpr int64_t kMaxRowElements = int64_t{1} << 31;
constexpr size_t kMaxClasses = 1'000'000;

constexpr std::array<Name<Task>, 4> kTasks = {
    {{"classification", Task::kClassification},
     {"regression", Task::kRegression},
     {"language_model", Task::kLanguageModel},
     {"masked_language_model", Task::kMaskedLanguageModel}}};

// A TensorSpec as JSON.
struct TensorFields {
  std::string name;
  std::string datatype;
  std::vector<int64_t> shape;

  template <class V>
  void Describe(V& v) {
    v.Text("name", name, {.min = 1, .max = 256, .required = true});
    v.Text("datatype", datatype, {.min = 1, .max = 16, .required = true});
    v.Ints("shape", shape, {.min = -1}, {.min = 1, .max = Shape::kMaxRank, .required = true});
  }

  static TensorFields From(const TensorSpec& spec) {
    return {spec.name, std::string(DataTypeName(spec.dtype)), spec.shape.dims()};
  }
  absl::StatusOr<TensorSpec> ToSpec(const std::string& path) const {
    const auto dtype = ParseDataType(datatype);
    if (!dtype) return InvalidField(JoinPath(path, "datatype"), "is not a known type");
    return TensorSpec{name, *dtype, Shape(shape)};
  }
};

// The file's fields.
struct Fields {
  int format = kFormat;
  Task task = Task::kClassification;
  std::vector<TensorFields> inputs;
  std::vector<TensorFields> outputs;
  std::vector<std::string> labels;
  json table;
  std::optional<PictureScaling> pictures;
  json preprocessing = json::array();
  json architecture;

  template <class V>
  void Describe(V& v) {
    v.Int("format", format, {.min = 1, .max = kFormat, .required = true});
    v.Enum("task", task, kTasks, Presence::kRequired);
    v.Objects("inputs", inputs, {.min = 1, .max = 2, .required = true});
    v.Objects("outputs", outputs, {.min = 1, .max = 1, .required = true});
    v.Texts("labels", labels, {.min = 1, .max = 256}, {.max = kMaxClasses});
    v.Raw("table", table);
    v.Object("pictures", pictures);
    v.Raw("preprocessing", preprocessing);
    v.Raw("architecture", architecture, Presence::kRequired);
  }
};

// A row that can be held in memory, of numbers, with a free batch.
absl::Status CheckInput(const TensorSpec& input, const std::string& path) {
  if (input.dtype == DataType::kBytes) {
    return InvalidField(JoinPath(path, "datatype"), "must be a type of numbers, got BYTES");
  }
  if (input.shape.rank() < 2 || input.shape[0] != Shape::kAny) {
    return InvalidField(
        JoinPath(path, "shape"),
        fmt::format("must start with -1 (the batch) and go on, got {}", input.shape.ToString()));
  }
  Shape row = input.shape;
  row[0] = 1;
  ASSIGN_OR_RETURN(const int64_t elements, row.ElementCount(JoinPath(path, "shape")));
  if (elements < 1 || elements > kMaxRowElements) {
    return InvalidField(JoinPath(path, "shape"),
                        fmt::format("a row must have between 1 and {} elements, got {}",
                                    kMaxRowElements, elements));
  }
  return absl::OkStatus();
}

// The raw inputs: those of the table, pictures of any size, or the network's one.
absl::Status ReadInputs(const Fields& fields, const std::string& path,
                        ModelDescription& description) {
  std::vector<TensorSpec> inputs;
  for (size_t i = 0; i < fields.inputs.size(); ++i) {
    ASSIGN_OR_RETURN(inputs.emplace_back(),
                     fields.inputs[i].ToSpec(JoinPath(JoinPath(path, "inputs"), i)));
  }
  description.input = inputs[0];
  if (!fields.table.is_null()) {
    ASSIGN_OR_RETURN(description.table, Table::Parse(fields.table, JoinPath(path, "table")));
    description.input = description.table->encoded();
  }
  if (fields.pictures.has_value()) {
    if (description.table.has_value()) {
      return InvalidField(JoinPath(path, "pictures"), "must be absent beside a table");
    }
    description.pictures = fields.pictures;
    description.input = description.pictures->scaled();
  }
  if (inputs == description.inputs()) return absl::OkStatus();
  return InvalidField(JoinPath(path, "inputs"),
                      description.table.has_value()      ? "must be what the table takes"
                      : description.pictures.has_value() ? "must be pictures of any size"
                                                         : "must be one tensor");
}

// What a loss judges, and what callers get.
struct Results {
  ValueId head = 0;
  ValueId output = 0;
};

// Whether `head` tells so many tokens apart at each step.
absl::Status CheckTokens(const NetworkBuilder& builder, ValueId head, int64_t tokens,
                         const std::string& path) {
  if (builder.value(head).shape[2] == tokens) return absl::OkStatus();
  return InvalidField(JoinPath(path, "vocabulary"), fmt::format("must be {}", tokens));
}

absl::StatusOr<Results> BuildLanguageModel(const ModelDescription& description,
                                           NetworkBuilder& builder, ValueId x,
                                           const std::string& path) {
  const int64_t tokens = description.table->tokenizer()->size();
  ASSIGN_OR_RETURN(const Sequence next,
                   description.architecture->BuildLanguageModel(builder, x, tokens, path));
  if (!next.lengths.has_value()) {
    return InvalidField(JoinPath(path, "pad_token_id"), "is required: texts end somewhere");
  }
  RETURN_IF_ERROR(CheckTokens(builder, next.values, tokens, path));
  ASSIGN_OR_RETURN(const ValueId last, builder.Apply("next", TakeLast{}, next));
  ASSIGN_OR_RETURN(const ValueId output, builder.Apply("softmax", Softmax{}, last));
  return Results{next.values, output};
}

absl::StatusOr<Results> BuildMaskedLanguageModel(const ModelDescription& description,
                                                 NetworkBuilder& builder, ValueId x,
                                                 const std::string& path) {
  ASSIGN_OR_RETURN(const Encoding encoding,
                   description.architecture->BuildMaskedLanguageModel(builder, x, path));
  RETURN_IF_ERROR(
      CheckTokens(builder, encoding.tokens, description.table->tokenizer()->size(), path));
  return Results{encoding.tokens, encoding.embedding};
}

absl::StatusOr<Results> BuildPredictor(const ModelDescription& description, NetworkBuilder& builder,
                                       ValueId x, const std::string& path) {
  ASSIGN_OR_RETURN(const ValueId head,
                   description.architecture->Build(builder, x, description.output.shape[1], path));
  if (description.task == Task::kRegression) return Results{head, head};
  ASSIGN_OR_RETURN(const ValueId output, builder.Apply("softmax", Softmax{}, head));
  return Results{head, output};
}

absl::StatusOr<Results> BuildResults(const ModelDescription& description, NetworkBuilder& builder,
                                     ValueId x, const std::string& path) {
  switch (description.task) {
    case Task::kClassification:
    case Task::kRegression:
      return BuildPredictor(description, builder, x, path);
    case Task::kLanguageModel:
      return BuildLanguageModel(description, builder, x, path);
    case Task::kMaskedLanguageModel:
      return BuildMaskedLanguageModel(description, builder, x, path);
  }
  return absl::InternalError("no such task");
}

// The tokenizer of a model that says something of tokens.
absl::Status CheckTokenizer(const ModelDescription& description, const std::string& path) {
  const Tokenizer* const tokenizer =
      description.table.has_value() ? description.table->tokenizer() : nullptr;
  const int64_t size = description.output.shape[1];
  if (description.task == Task::kLanguageModel &&
      (tokenizer == nullptr || tokenizer->size() != size)) {
    return InvalidField(JoinPath(path, "table"),
                        fmt::format("must be a column of text with {} tokens", size));
  }
  if (description.task == Task::kMaskedLanguageModel &&
      (tokenizer == nullptr || !tokenizer->mask().has_value())) {
    return InvalidField(JoinPath(path, "table"),
                        "must be a column of text whose tokenizer has a mask");
  }
  return absl::OkStatus();
}

}  // namespace

TensorSpec OutputOf(Task task, int64_t size) {
  const char* const name = task == Task::kRegression            ? "prediction"
                           : task == Task::kMaskedLanguageModel ? "embedding"
                                                                : "probabilities";
  return {name, DataType::kFp32, {Shape::kAny, size}};
}

absl::StatusOr<ModelDescription> ModelDescription::Parse(std::string_view text,
                                                         const std::string& path) {
  ASSIGN_OR_RETURN(const json object, ParseJson(text, path, {.values = 4'000'000}));
  Fields fields;
  RETURN_IF_ERROR(ReadFields(object, path, fields));

  ModelDescription description;
  description.task = fields.task;
  description.labels = std::move(fields.labels);
  RETURN_IF_ERROR(ReadInputs(fields, path, description));
  ASSIGN_OR_RETURN(description.output, fields.outputs[0].ToSpec(JoinPath(path, "outputs[0]")));
  const std::string steps = JoinPath(path, "preprocessing");
  if (!fields.preprocessing.is_array() || fields.preprocessing.size() > 64) {
    return InvalidField(steps, "must be a list of at most 64 steps");
  }
  for (size_t i = 0; i < fields.preprocessing.size(); ++i) {
    ASSIGN_OR_RETURN(auto step, ParsePreprocessing(fields.preprocessing[i], JoinPath(steps, i)));
    description.preprocessing.push_back(std::move(step));
  }
  ASSIGN_OR_RETURN(description.architecture,
                   ParseArchitecture(fields.architecture, JoinPath(path, "architecture")));
  RETURN_IF_ERROR(description.BuildNetwork(path).status());
  return description;
}

std::string ModelDescription::Print() const {
  Fields fields;
  fields.task = task;
  for (const TensorSpec& each : inputs()) fields.inputs.push_back(TensorFields::From(each));
  fields.outputs = {TensorFields::From(output)};
  fields.labels = labels;
  fields.pictures = pictures;
  nlohmann::ordered_json object = WriteFields(fields);
  if (table.has_value()) object["table"] = table->ToJson();
  object["preprocessing"] = nlohmann::ordered_json::array();
  for (const auto& step : preprocessing) object["preprocessing"].push_back(step->ToJson());
  object["architecture"] = architecture->ToJson();
  return object.dump(2) + "\n";
}

std::vector<TensorSpec> ModelDescription::inputs() const {
  if (table.has_value()) return table->inputs();
  return {pictures.has_value() ? pictures->raw() : input};
}

absl::StatusOr<Network> ModelDescription::BuildNetwork(const std::string& path) const {
  RETURN_IF_ERROR(CheckInput(input, JoinPath(path, table.has_value()      ? "table"
                                                   : pictures.has_value() ? "pictures"
                                                                          : "inputs[0]")));
  const int64_t size = output.shape.rank() == 2 ? output.shape[1] : 0;
  const TensorSpec expected = OutputOf(task, size);
  if (size < 1 || size > static_cast<int64_t>(kMaxClasses) || output != expected) {
    return InvalidField(
        JoinPath(path, "outputs[0]"),
        fmt::format("must be {} FP32 [-1, n] with n from 1 to {}", expected.name, kMaxClasses));
  }
  RETURN_IF_ERROR(CheckTokenizer(*this, path));
  if (!labels.empty() && static_cast<int64_t>(labels.size()) != size) {
    return InvalidField(JoinPath(path, "labels"),
                        fmt::format("must name {} classes, got {}", size, labels.size()));
  }
  NetworkBuilder builder;
  ValueId x = builder.Input(input);
  const std::string steps = JoinPath(path, "preprocessing");
  if (architecture->takes_ids() && !preprocessing.empty()) {
    return InvalidField(steps, "must be empty: the architecture takes ids of tokens");
  }
  // Ids stay as they are: runtimes may keep numbers in fewer bits than they need.
  if (!architecture->takes_ids() && input.dtype != DataType::kFp32) {
    ASSIGN_OR_RETURN(x, builder.Apply("cast", Cast{DataType::kFp32}, x));
  }
  for (size_t i = 0; i < preprocessing.size(); ++i) {
    ASSIGN_OR_RETURN(x, preprocessing[i]->Append(builder, fmt::format("preprocessing.{}", i), x,
                                                 JoinPath(steps, i)));
  }
  const std::string below = JoinPath(path, "architecture");
  ASSIGN_OR_RETURN(const Results results, BuildResults(*this, builder, x, below));
  if (builder.value(results.output).shape != output.shape) {
    return InvalidField(JoinPath(path, "outputs[0].shape"),
                        fmt::format("must be {}, as the architecture has it",
                                    builder.value(results.output).shape.ToString()));
  }
  return std::move(builder).Finish(results.head, {{expected.name, results.output}});
}

}  // namespace slipway::nn
