#include "services/inference/infer_codec.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "services/inference/classification.h"

namespace slipway::worker {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using Input = inference::ModelInferRequest::InferInputTensor;
using Contents = inference::InferTensorContents;

// How much of a caller's own text an error repeats.
constexpr size_t kMaxEcho = 80;
constexpr size_t kMaxSequenceId = 128;

std::string FieldOfInput(std::string_view name) {
  std::string field = "inputs.";
  field += name.substr(0, kMaxEcho);
  return field;
}

std::string Names(const std::vector<TensorSpec>& specs) {
  std::vector<std::string_view> names;
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

template <class To, class From>
absl::StatusOr<std::string> Pack(const google::protobuf::RepeatedField<From>& values,
                                 std::string_view field) {
  std::string bytes(static_cast<size_t>(values.size()) * sizeof(To), '\0');
  To* out = reinterpret_cast<To*>(bytes.data());
  for (const From value : values) {
    if constexpr (sizeof(To) < sizeof(From)) {
      if (value < std::numeric_limits<To>::min() || value > std::numeric_limits<To>::max()) {
        return InvalidField(field, fmt::format("{} does not fit its datatype", value));
      }
    }
    *out++ = static_cast<To>(value);
  }
  return bytes;
}

absl::StatusOr<std::string> PackTexts(
    const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return EncodeTexts({texts.begin(), texts.end()});
}

using Parameters = google::protobuf::Map<std::string, inference::InferParameter>;

// A parameter's whole number >= 0, in either of the two types that clients send; 0 where absent.
absl::StatusOr<uint64_t> CountIn(const Parameters& parameters, const char* name,
                                 std::string_view field) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return uint64_t{0};
  const inference::InferParameter& value = found->second;
  if (value.has_uint64_param()) return value.uint64_param();
  if (value.has_int64_param() && value.int64_param() >= 0) {
    return static_cast<uint64_t>(value.int64_param());
  }
  return InvalidField(fmt::format("{}{}parameters.{}", field, field.empty() ? "" : ".", name),
                      "must be an integer >= 0");
}

// False where absent.
absl::StatusOr<bool> FlagIn(const Parameters& parameters, const char* name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return false;
  if (found->second.has_bool_param()) return found->second.bool_param();
  return InvalidField(fmt::format("parameters.{}", name), "must be true or false");
}

// The shared memory that a tensor's parameters name, if any.
absl::StatusOr<std::optional<MemorySlice>> SliceIn(const Parameters& parameters,
                                                   std::string_view field) {
  const auto region = parameters.find("shared_memory_region");
  if (region == parameters.end()) return std::nullopt;
  MemorySlice slice;
  slice.region = region->second.string_param();
  ASSIGN_OR_RETURN(slice.size, CountIn(parameters, "shared_memory_byte_size", field));
  ASSIGN_OR_RETURN(slice.offset, CountIn(parameters, "shared_memory_offset", field));
  return slice;
}

absl::Status NoSharedMemory(std::string_view field) {
  return InvalidField(fmt::format("{}.parameters.shared_memory_region", field),
                      "shared memory is not offered here");
}

// How many elements of any type there are.
int64_t CountAll(const Contents& contents) {
  return int64_t{0} + contents.bool_contents_size() + contents.int_contents_size() +
         contents.int64_contents_size() + contents.uint_contents_size() +
         contents.uint64_contents_size() + contents.fp32_contents_size() +
         contents.fp64_contents_size() + contents.bytes_contents_size();
}

// The elements in the field that belongs to `type`, as the tensor's bytes.
absl::StatusOr<std::string> PackContents(DataType type, const Contents& contents,
                                         std::string_view field) {
  switch (type) {
    case DataType::kBool:
      return Pack<uint8_t>(contents.bool_contents(), field);
    case DataType::kInt8:
      return Pack<int8_t>(contents.int_contents(), field);
    case DataType::kInt16:
      return Pack<int16_t>(contents.int_contents(), field);
    case DataType::kInt32:
      return Pack<int32_t>(contents.int_contents(), field);
    case DataType::kInt64:
      return Pack<int64_t>(contents.int64_contents(), field);
    case DataType::kUint8:
      return Pack<uint8_t>(contents.uint_contents(), field);
    case DataType::kUint16:
      return Pack<uint16_t>(contents.uint_contents(), field);
    case DataType::kUint32:
      return Pack<uint32_t>(contents.uint_contents(), field);
    case DataType::kUint64:
      return Pack<uint64_t>(contents.uint64_contents(), field);
    case DataType::kFp32:
      return Pack<float>(contents.fp32_contents(), field);
    case DataType::kFp64:
      return Pack<double>(contents.fp64_contents(), field);
    case DataType::kBytes:
      return PackTexts(contents.bytes_contents());
    case DataType::kFp16:
    case DataType::kBf16:
      break;
  }
  return InvalidField(field,
                      fmt::format("{} travels in raw_input_contents only", DataTypeName(type)));
}

absl::StatusOr<Buffer> TypedData(const Input& input, DataType type, int64_t elements) {
  const std::string field = FieldOfInput(input.name()) + ".contents";
  if (!input.has_contents()) {
    return InvalidField(field, "is missing, and there are no raw_input_contents");
  }
  ASSIGN_OR_RETURN(std::string bytes, PackContents(type, input.contents(), field));
  const int64_t given = CountAll(input.contents());
  const bool all_of_type =
      type == DataType::kBytes
          ? given == input.contents().bytes_contents_size()
          : given * static_cast<int64_t>(ElementSize(type)) == static_cast<int64_t>(bytes.size());
  if (!all_of_type || given != elements) {
    return InvalidField(field, fmt::format("must hold {} elements in the field of {}, got {}",
                                           elements, DataTypeName(type), given));
  }
  return Buffer::Own(std::move(bytes));
}

absl::Status CheckShape(const Input& input, const TensorSpec& spec, const Shape& shape) {
  const auto field = [&] { return FieldOfInput(input.name()) + ".shape"; };
  for (const int64_t dim : shape.dims()) {
    if (dim <= 0) {
      return InvalidField(
          field(),
          fmt::format("every dimension must be > 0, got {}",
                      shape.rank() <= Shape::kMaxRank ? shape.ToString() : "one that is not"));
    }
  }
  if (shape.rank() != spec.shape.rank() || !spec.CheckShape(shape, "").ok()) {
    return InvalidField(field(), fmt::format("must be {}, got {}", spec.shape.ToString(),
                                             shape.rank() <= Shape::kMaxRank
                                                 ? shape.ToString()
                                                 : fmt::format("{} dimensions", shape.rank())));
  }
  return absl::OkStatus();
}

absl::Status CheckNoContents(const Input& input, std::string_view where) {
  if (input.has_contents() && CountAll(input.contents()) > 0) {
    return InvalidField(FieldOfInput(input.name()) + ".contents",
                        fmt::format("must be empty where the tensor is in {}", where));
  }
  return absl::OkStatus();
}

// Where an input's elements are.
struct Source {
  std::optional<std::string_view> raw;
  std::optional<MemorySlice> slice;
};
// Most models have few inputs.
using Sources = absl::InlinedVector<Source, 4>;

absl::StatusOr<Tensor> DecodeInput(const Input& input, const Source& source, const TensorSpec& spec,
                                   const TenantMemory& memory) {
  if (input.datatype() != DataTypeName(spec.dtype)) {
    return InvalidField(FieldOfInput(spec.name) + ".datatype",
                        fmt::format("must be {}, got \"{}\"", DataTypeName(spec.dtype),
                                    input.datatype().substr(0, kMaxEcho)));
  }
  Shape shape(std::vector<int64_t>(input.shape().begin(), input.shape().end()));
  RETURN_IF_ERROR(CheckShape(input, spec, shape));
  Buffer data;
  if (source.slice) {
    RETURN_IF_ERROR(CheckNoContents(input, "shared memory"));
    if (memory.memory == nullptr) return NoSharedMemory(FieldOfInput(spec.name));
    ASSIGN_OR_RETURN(data,
                     memory.memory->Read(memory.tenant, *source.slice, FieldOfInput(spec.name)));
  } else if (source.raw) {
    RETURN_IF_ERROR(CheckNoContents(input, "raw_input_contents"));
    data = Buffer::Borrow(*source.raw);
  } else {
    ASSIGN_OR_RETURN(const int64_t elements,
                     shape.ElementCount(FieldOfInput(spec.name) + ".shape"));
    ASSIGN_OR_RETURN(data, TypedData(input, spec.dtype, elements));
  }
  return Tensor::Make(spec.name, spec.dtype, std::move(shape), std::move(data),
                      FieldOfInput(spec.name));
}

// Where each input's elements are. Raw contents belong to the inputs that are not in shared
// memory, in order.
absl::StatusOr<Sources> FindSources(const inference::ModelInferRequest& request,
                                    const RawContents& contents) {
  Sources sources(static_cast<size_t>(request.inputs_size()));
  size_t raw = 0;
  for (int i = 0; i < request.inputs_size(); ++i) {
    Source& source = sources[static_cast<size_t>(i)];
    const Input& input = request.inputs(i);
    if (!input.parameters().empty()) {
      ASSIGN_OR_RETURN(source.slice, SliceIn(input.parameters(), FieldOfInput(input.name())));
    }
    if (source.slice) continue;
    if (raw < contents.size()) source.raw = contents[raw];
    ++raw;
  }
  if (!contents.empty() && raw != contents.size()) {
    return InvalidField(
        "raw_input_contents",
        fmt::format("must have one entry for each of the {} inputs, got {}", raw, contents.size()));
  }
  return sources;
}

// Rows of different inputs belong together.
absl::Status CheckRows(const TensorBatch& inputs, const Signature& signature) {
  std::optional<size_t> first;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& wanted = signature.inputs[i].shape;
    if (wanted.rank() == 0 || wanted[0] != Shape::kAny) continue;
    if (!first) {
      first = i;
    } else if (inputs[i].shape()[0] != inputs[*first].shape()[0]) {
      return InvalidField(FieldOfInput(inputs[i].name()) + ".shape",
                          fmt::format("has {} rows, {} has {}", inputs[i].shape()[0],
                                      inputs[*first].name(), inputs[*first].shape()[0]));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseRequest(std::string_view bytes, inference::ModelInferRequest& request,
                          RawContents& contents) {
  constexpr uint32_t kRawTag =
      WireFormatLite::MakeTag(inference::ModelInferRequest::kRawInputContentsFieldNumber,
                              WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  const auto wrong = [] {
    return absl::InvalidArgumentError("the request is no inference.ModelInferRequest");
  };
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return wrong();
  const auto* const begin = reinterpret_cast<const uint8_t*>(bytes.data());
  CodedInputStream in(begin, static_cast<int>(bytes.size()));
  // What lies between raw contents is a message too, and its fields add to those before.
  const auto merge = [&](int from, int to) {
    CodedInputStream fields(begin + from, to - from);
    return from == to ||
           (request.MergePartialFromCodedStream(&fields) && fields.ConsumedEntireMessage());
  };
  int merged = 0;
  int field = 0;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == kRawTag) {
      if (!merge(merged, field)) return wrong();
      uint32_t size = 0;
      if (!in.ReadVarint32(&size)) return wrong();
      const int at = in.CurrentPosition();
      if (size > bytes.size() - static_cast<size_t>(at)) return wrong();
      contents.push_back(bytes.substr(static_cast<size_t>(at), size));
      in.Skip(static_cast<int>(size));
      merged = in.CurrentPosition();
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return wrong();
    }
    field = in.CurrentPosition();
  }
  if (!in.ConsumedEntireMessage() || !merge(merged, field)) return wrong();
  return absl::OkStatus();
}

absl::StatusOr<TensorBatch> DecodeInputs(const inference::ModelInferRequest& request,
                                         const RawContents& contents, const Signature& signature,
                                         const TenantMemory& memory) {
  ASSIGN_OR_RETURN(const Sources sources, FindSources(request, contents));
  TensorBatch inputs(signature.inputs.size());
  absl::InlinedVector<bool, 16> given(signature.inputs.size());
  for (int i = 0; i < request.inputs_size(); ++i) {
    const Input& input = request.inputs(i);
    const std::optional<size_t> place = IndexOf(signature.inputs, input.name());
    if (!place) {
      return InvalidField(
          FieldOfInput(input.name()),
          fmt::format("is no input of the model, which takes {}", Names(signature.inputs)));
    }
    if (given[*place]) return InvalidField(FieldOfInput(input.name()), "is there twice");
    given[*place] = true;
    ASSIGN_OR_RETURN(inputs[*place], DecodeInput(input, sources[static_cast<size_t>(i)],
                                                 signature.inputs[*place], memory));
  }
  for (size_t i = 0; i < given.size(); ++i) {
    if (!given[i]) return InvalidField(FieldOfInput(signature.inputs[i].name), "is missing");
  }
  RETURN_IF_ERROR(CheckRows(inputs, signature));
  return inputs;
}

absl::StatusOr<SchedulingParameters> ReadSchedulingParameters(
    const inference::ModelInferRequest& request) {
  SchedulingParameters read;
  ASSIGN_OR_RETURN(const uint64_t priority, CountIn(request.parameters(), "priority", ""));
  read.priority = static_cast<int64_t>(std::min<uint64_t>(priority, INT64_MAX));
  ASSIGN_OR_RETURN(const uint64_t timeout, CountIn(request.parameters(), "timeout", ""));
  if (timeout > 0 && timeout <= INT64_MAX) {
    read.timeout = absl::Microseconds(static_cast<int64_t>(timeout));
  }
  return read;
}

absl::StatusOr<SequenceStep> ReadSequenceStep(const inference::ModelInferRequest& request) {
  const Parameters& parameters = request.parameters();
  SequenceStep step;
  if (const auto id = parameters.find("sequence_id");
      id != parameters.end() && id->second.has_string_param()) {
    const std::string& text = id->second.string_param();
    if (text.size() > kMaxSequenceId) {
      return InvalidField("parameters.sequence_id",
                          fmt::format("must be at most {} bytes", kMaxSequenceId));
    }
    if (!text.empty()) step.id = fmt::format("\"{}\"", text);
  } else {
    ASSIGN_OR_RETURN(const uint64_t number, CountIn(parameters, "sequence_id", ""));
    if (number != 0) step.id = std::to_string(number);
  }
  ASSIGN_OR_RETURN(step.start, FlagIn(parameters, "sequence_start"));
  ASSIGN_OR_RETURN(step.end, FlagIn(parameters, "sequence_end"));
  return step;
}

absl::StatusOr<std::vector<OutputChoice>> ChooseOutputs(const inference::ModelInferRequest& request,
                                                        const Signature& signature) {
  std::vector<OutputChoice> choices;
  if (request.outputs_size() == 0) {
    choices.resize(signature.outputs.size());
    for (size_t i = 0; i < choices.size(); ++i) choices[i].place = i;
    return choices;
  }
  for (const auto& output : request.outputs()) {
    const auto field = [&] { return fmt::format("outputs.{}", output.name().substr(0, kMaxEcho)); };
    const std::optional<size_t> place = IndexOf(signature.outputs, output.name());
    if (!place) {
      return InvalidField(field(), fmt::format("is no output of the model, which gives {}",
                                               Names(signature.outputs)));
    }
    if (std::any_of(choices.begin(), choices.end(),
                    [&](const OutputChoice& choice) { return choice.place == *place; })) {
      return InvalidField(field(), "is there twice");
    }
    OutputChoice choice{.place = *place};
    if (!output.parameters().empty()) {
      ASSIGN_OR_RETURN(choice.memory, SliceIn(output.parameters(), field()));
      ASSIGN_OR_RETURN(const uint64_t count,
                       CountIn(output.parameters(), "classification", field()));
      choice.top_count = static_cast<int64_t>(std::min<uint64_t>(count, INT64_MAX));
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

namespace {

absl::Status EncodeOutput(const Tensor& tensor, const OutputChoice& choice,
                          const TenantMemory& memory, InferAnswer& answer) {
  auto& output = *answer.response.add_outputs();
  output.set_name(tensor.name());
  const std::string_view type = DataTypeName(tensor.dtype());
  output.set_datatype(type.data(), type.size());
  output.mutable_shape()->Add(tensor.shape().dims().begin(), tensor.shape().dims().end());
  if (!choice.memory) {
    answer.contents.push_back(tensor.data());
    return absl::OkStatus();
  }
  // Clients count the raw contents by the outputs, so that one in shared memory has an empty one.
  answer.contents.emplace_back();
  const std::string field = fmt::format("outputs.{}", tensor.name());
  if (memory.memory == nullptr) return NoSharedMemory(field);
  RETURN_IF_ERROR(memory.memory->Write(memory.tenant, *choice.memory, tensor.data().view(), field));
  auto& parameters = *output.mutable_parameters();
  parameters["shared_memory_region"].set_string_param(choice.memory->region);
  parameters["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(tensor.data().size()));
  if (choice.memory->offset > 0) {
    parameters["shared_memory_offset"].set_int64_param(static_cast<int64_t>(choice.memory->offset));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status EncodeAnswer(const inference::ModelInferRequest& request, const ServedModel& model,
                          const TensorBatch& outputs, const std::vector<OutputChoice>& choices,
                          const TenantMemory& memory, absl::Duration compute, InferAnswer& answer) {
  inference::ModelInferResponse& response = answer.response;
  response.set_model_name(request.model_name());
  response.set_model_version(model.version_number);
  if (!request.id().empty()) response.set_id(request.id());
  (*response.mutable_parameters())[kComputeMicrosParameter].set_int64_param(
      absl::ToInt64Microseconds(compute));
  for (const OutputChoice& choice : choices) {
    const Tensor& tensor = outputs[choice.place];
    if (choice.top_count == 0) {
      RETURN_IF_ERROR(EncodeOutput(tensor, choice, memory, answer));
      continue;
    }
    const Shape& declared = model.signature.outputs[choice.place].shape;
    const bool batched = declared.rank() > 0 && declared[0] == Shape::kAny;
    const auto classes = TopClasses(tensor, batched, choice.top_count, model.labels);
    if (!classes.ok()) {
      return InvalidField(fmt::format("outputs.{}.parameters.classification", tensor.name()),
                          std::string(classes.status().message()));
    }
    RETURN_IF_ERROR(EncodeOutput(*classes, choice, memory, answer));
  }
  return absl::OkStatus();
}

}  // namespace slipway::worker
