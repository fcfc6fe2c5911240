#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/tensor/data_type.h"
#include "common/tensor/shape.h"
#include "fmt/format.h"
#include "services/gateway/oip/infer_json.h"
#include "services/gateway/oip/json_tensor.h"
#include "simdjson.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::gateway {
namespace {

namespace sj = simdjson::ondemand;
using simdjson::error_code;
using simdjson::SUCCESS;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxTensors = 256;
constexpr size_t kMaxParameters = 64;
// A parser keeps memory for the largest document it has seen, some five times its size.
constexpr size_t kKeepParserBytes = 1 << 20;
// Texts under this size are cheaper to copy than to refer to.
constexpr size_t kCopyBytes = 4096;

using Input = inference::ModelInferRequest::InferInputTensor;

// A long text stays where it is; pieces of the result share it.
absl::Cord KeepBytes(std::string bytes) {
  if (bytes.size() <= kCopyBytes) return absl::Cord(bytes);
  const absl::string_view view(bytes.data(), bytes.size());
  return absl::MakeCordFromExternal(view, [bytes = std::move(bytes)] {});
}

// ---- What is passed over -----------------------------------------------------------------------

// The parser checks only what is read, and a document that other parsers refuse is refused here.
error_code PassOver(simdjson::simdjson_result<sj::value> value, int depth) {
  if (depth == kMaxDepth) return simdjson::DEPTH_ERROR;
  sj::json_type type{};
  if (const error_code error = value.type().get(type); error != SUCCESS) return error;
  switch (type) {
    case sj::json_type::object: {
      sj::object object;
      if (const error_code error = value.get_object().get(object); error != SUCCESS) return error;
      for (auto field : object) {
        std::string_view key;
        if (const error_code error = field.unescaped_key().get(key); error != SUCCESS) return error;
        if (const error_code error = PassOver(field.value(), depth + 1); error != SUCCESS) {
          return error;
        }
      }
      return SUCCESS;
    }
    case sj::json_type::array: {
      sj::array array;
      if (const error_code error = value.get_array().get(array); error != SUCCESS) return error;
      for (auto element : array) {
        if (const error_code error = PassOver(element, depth + 1); error != SUCCESS) return error;
      }
      return SUCCESS;
    }
    case sj::json_type::string:
      return value.get_string().error();
    case sj::json_type::number:
      return value.get_number().error();
    case sj::json_type::boolean:
      return value.get_bool().error();
    case sj::json_type::null: {
      bool is_null = false;
      const error_code error = value.is_null().get(is_null);
      return error == SUCCESS && !is_null ? simdjson::N_ATOM_ERROR : error;
    }
  }
  return simdjson::TAPE_ERROR;
}

// ---- The request -------------------------------------------------------------------------------

// The JSON part of a request. Tensors in binary are left for the caller to take from what follows.
class RequestReader {
 public:
  // `json_bytes`: of the whole document.
  RequestReader(size_t json_bytes, InferRequest& request, AnswerForm& form)
      : json_bytes_(json_bytes), request_(request), head_(request.head), form_(form) {}

  absl::Status Read(sj::document& document) {
    sj::object object;
    RETURN_IF_ERROR(Check(document.get_object().get(object), {nullptr, "body", {}}, "an object"));
    bool seen_id = false, seen_parameters = false, seen_inputs = false, seen_outputs = false;
    for (auto field : object) {
      std::string_view key;
      RETURN_IF_ERROR(Sound(field.unescaped_key().get(key)));
      const Place place{nullptr, key, {}};
      if (key == "id") {
        RETURN_IF_ERROR(Once(seen_id, place));
        std::string_view id;
        RETURN_IF_ERROR(Check(field.value().get_string().get(id), place, "a text"));
        head_.set_id(std::string(id));
      } else if (key == "parameters") {
        RETURN_IF_ERROR(Once(seen_parameters, place));
        RETURN_IF_ERROR(ReadParameters(field.value(), place, *head_.mutable_parameters()));
        ASSIGN_OR_RETURN(const auto binary,
                         TakeFlag("binary_data_output", place, *head_.mutable_parameters()));
        form_.binary = binary.value_or(false);
      } else if (key == "inputs") {
        RETURN_IF_ERROR(Once(seen_inputs, place));
        RETURN_IF_ERROR(ReadInputs(field.value(), place));
      } else if (key == "outputs") {
        RETURN_IF_ERROR(Once(seen_outputs, place));
        RETURN_IF_ERROR(ReadOutputs(field.value(), place));
      } else {
        RETURN_IF_ERROR(Sound(PassOver(field.value(), 0)));
      }
    }
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
      return absl::DataLossError("something follows the document");
    }
    if (head_.inputs().empty()) return InvalidField("inputs", "must hold at least one tensor");
    return absl::OkStatus();
  }

  // For each input its bytes behind the document; nothing for one whose elements are in it.
  const std::vector<std::optional<uint64_t>>& binary_sizes() const { return binary_sizes_; }

 private:
  using Value = simdjson::simdjson_result<sj::value>;
  using Parameters = google::protobuf::Map<std::string, inference::InferParameter>;

  // A value of another type is the field's fault, all else the document's.
  static absl::Status Check(error_code error, const Place& place, std::string_view type) {
    if (error == SUCCESS) return absl::OkStatus();
    if (error == simdjson::INCORRECT_TYPE) return Wrong(place, fmt::format("must be {}", type));
    return Sound(error);
  }
  static absl::Status Sound(error_code error) {
    if (error == SUCCESS) return absl::OkStatus();
    return absl::DataLossError(simdjson::error_message(error));
  }
  static absl::Status Once(bool& seen, const Place& place) {
    if (!std::exchange(seen, true)) return absl::OkStatus();
    return Wrong(place, "is given twice");
  }

  absl::Status ReadParameters(Value value, const Place& place, Parameters& out) {
    sj::object object;
    RETURN_IF_ERROR(Check(value.get_object().get(object), place, "an object"));
    for (auto field : object) {
      std::string_view key;
      RETURN_IF_ERROR(Sound(field.unescaped_key().get(key)));
      const Place here{&place, key, {}};
      std::string name(key);
      if (out.contains(name)) return Wrong(here, "is given twice");
      if (out.size() == kMaxParameters) return Wrong(place, "has too many members");
      inference::InferParameter parameter;
      RETURN_IF_ERROR(ReadParameter(field.value(), here, parameter));
      out[std::move(name)] = std::move(parameter);
    }
    return absl::OkStatus();
  }

  static absl::Status ReadParameter(Value value, const Place& place,
                                    inference::InferParameter& out) {
    constexpr std::string_view kKinds = "a text, a number, true or false";
    sj::json_type type{};
    RETURN_IF_ERROR(Sound(value.type().get(type)));
    switch (type) {
      case sj::json_type::boolean: {
        bool flag = false;
        RETURN_IF_ERROR(Check(value.get_bool().get(flag), place, kKinds));
        out.set_bool_param(flag);
        return absl::OkStatus();
      }
      case sj::json_type::string: {
        std::string_view text;
        RETURN_IF_ERROR(Check(value.get_string().get(text), place, kKinds));
        out.set_string_param(std::string(text));
        return absl::OkStatus();
      }
      case sj::json_type::number: {
        sj::number number;
        RETURN_IF_ERROR(Check(value.get_number().get(number), place, kKinds));
        if (number.is_int64()) {
          out.set_int64_param(number.get_int64());
        } else if (number.is_uint64()) {
          out.set_uint64_param(number.get_uint64());
        } else {
          out.set_double_param(number.get_double());
        }
        return absl::OkStatus();
      }
      default:
        return Wrong(place, fmt::format("must be {}", kKinds));
    }
  }

  // A parameter that is this door's own, and does not go on.
  static absl::StatusOr<std::optional<bool>> TakeFlag(std::string_view name, const Place& place,
                                                      Parameters& parameters) {
    const auto found = parameters.find(std::string(name));
    if (found == parameters.end()) return std::nullopt;
    if (!found->second.has_bool_param()) return Wrong({&place, name, {}}, "must be true or false");
    const bool flag = found->second.bool_param();
    parameters.erase(found);
    return flag;
  }

  static absl::StatusOr<std::optional<uint64_t>> TakeSize(std::string_view name, const Place& place,
                                                          Parameters& parameters) {
    const auto found = parameters.find(std::string(name));
    if (found == parameters.end()) return std::nullopt;
    if (!found->second.has_int64_param() || found->second.int64_param() < 0) {
      return Wrong({&place, name, {}}, "must be a number of bytes");
    }
    const auto size = static_cast<uint64_t>(found->second.int64_param());
    parameters.erase(found);
    return size;
  }

  absl::Status ReadInputs(Value value, const Place& place) {
    sj::array array;
    RETURN_IF_ERROR(Check(value.get_array().get(array), place, "a list"));
    size_t index = 0;
    for (auto element : array) {
      const Place here{&place, {}, index};
      if (index++ == kMaxTensors) return Wrong(place, "has too many tensors");
      sj::object object;
      RETURN_IF_ERROR(Check(element.get_object().get(object), here, "an object"));
      RETURN_IF_ERROR(ReadInput(object, place, here));
    }
    return absl::OkStatus();
  }

  absl::Status ReadInput(sj::object& object, const Place& inputs, const Place& place) {
    Input& input = *head_.add_inputs();
    std::string raw;
    std::optional<DataType> type;
    std::optional<uint64_t> binary;
    bool seen_name = false, seen_type = false, seen_shape = false, seen_parameters = false,
         seen_data = false, data_was_read = false;
    const auto read_data = [&](Value value) -> absl::Status {
      RETURN_IF_ERROR(ReadData(value, inputs, place, input, *type, raw));
      data_was_read = true;
      return absl::OkStatus();
    };
    for (auto field : object) {
      std::string_view key;
      RETURN_IF_ERROR(Sound(field.unescaped_key().get(key)));
      // By its name, once that is known.
      const Place named{&inputs, input.name(), {}};
      const Place here{input.name().empty() ? &place : &named, key, {}};
      if (key == "name") {
        RETURN_IF_ERROR(Once(seen_name, here));
        std::string_view name;
        RETURN_IF_ERROR(Check(field.value().get_string().get(name), here, "a text"));
        input.set_name(std::string(name));
      } else if (key == "datatype") {
        RETURN_IF_ERROR(Once(seen_type, here));
        std::string_view name;
        RETURN_IF_ERROR(Check(field.value().get_string().get(name), here, "a text"));
        type = ParseDataType(name);
        if (!type) return Wrong(here, "is no datatype");
        input.set_datatype(std::string(name));
      } else if (key == "shape") {
        RETURN_IF_ERROR(Once(seen_shape, here));
        RETURN_IF_ERROR(ReadShape(field.value(), here, input));
      } else if (key == "parameters") {
        RETURN_IF_ERROR(Once(seen_parameters, here));
        RETURN_IF_ERROR(ReadParameters(field.value(), here, *input.mutable_parameters()));
        ASSIGN_OR_RETURN(binary, TakeSize("binary_data_size", here, *input.mutable_parameters()));
      } else if (key == "data") {
        RETURN_IF_ERROR(Once(seen_data, here));
        // Most clients say first what it is. Where one does not, the data are read afterwards.
        if (seen_type && seen_shape) RETURN_IF_ERROR(read_data(field.value()));
      } else {
        RETURN_IF_ERROR(Sound(PassOver(field.value(), 0)));
      }
    }
    if (!seen_name || input.name().empty()) return Wrong({&place, "name", {}}, "is missing");
    const Place tensor{&inputs, input.name(), {}};
    if (!seen_type) return Wrong({&tensor, "datatype", {}}, "is missing");
    if (!seen_shape) return Wrong({&tensor, "shape", {}}, "is missing");
    if (binary && seen_data) {
      return Wrong({&tensor, "data", {}}, "is given beside binary_data_size");
    }
    if (!binary && !seen_data) return Wrong({&tensor, "data", {}}, "is missing");
    for (int i = 0; i + 1 < head_.inputs_size(); ++i) {
      if (head_.inputs(i).name() == input.name()) return Wrong(tensor, "is given twice");
    }
    if (seen_data && !data_was_read) {
      RETURN_IF_ERROR(Sound(object.reset().error()));
      RETURN_IF_ERROR(read_data(object.find_field_unordered("data")));
    }
    request_.contents.push_back(KeepBytes(std::move(raw)));
    binary_sizes_.push_back(binary);
    return absl::OkStatus();
  }

  static absl::Status ReadShape(Value value, const Place& place, Input& input) {
    sj::array array;
    RETURN_IF_ERROR(Check(value.get_array().get(array), place, "a list of positive integers"));
    for (auto element : array) {
      int64_t size = 0;
      const error_code error = element.get_int64().get(size);
      if (error == simdjson::NUMBER_ERROR || error == simdjson::NUMBER_OUT_OF_RANGE ||
          (error == SUCCESS && size < 1)) {
        return Wrong(place, "must be a list of positive integers");
      }
      RETURN_IF_ERROR(Check(error, place, "a list of positive integers"));
      if (input.shape_size() == static_cast<int>(Shape::kMaxRank)) {
        return Wrong(place, fmt::format("has more than {} dimensions", Shape::kMaxRank));
      }
      input.add_shape(size);
    }
    return absl::OkStatus();
  }

  absl::Status ReadData(Value value, const Place& inputs, const Place& index, const Input& input,
                        DataType type, std::string& raw) {
    const Place named{&inputs, input.name(), {}};
    const Place& tensor = input.name().empty() ? index : named;
    const Place shape_place{&tensor, "shape", {}};
    const Place data_place{&tensor, "data", {}};
    if (type == DataType::kFp16 || type == DataType::kBf16) {
      return Wrong(data_place,
                   fmt::format("{} has no JSON form: send it as binary data", DataTypeName(type)));
    }
    const Shape shape(std::vector<int64_t>(input.shape().begin(), input.shape().end()));
    const absl::StatusOr<int64_t> count = shape.ElementCount("shape");
    // Each element takes two bytes of JSON, so that no number of a caller's is allocated.
    if (!count.ok() || static_cast<uint64_t>(*count) > json_bytes_) {
      return Wrong(shape_place,
                   fmt::format("{} has more elements than the body has bytes", shape.ToString()));
    }
    return ReadTensor(value, data_place, type, shape, *count, raw);
  }

  absl::Status ReadOutputs(Value value, const Place& place) {
    sj::array array;
    RETURN_IF_ERROR(Check(value.get_array().get(array), place, "a list"));
    size_t index = 0;
    for (auto element : array) {
      const Place here{&place, {}, index};
      if (index++ == kMaxTensors) return Wrong(place, "has too many tensors");
      sj::object object;
      RETURN_IF_ERROR(Check(element.get_object().get(object), here, "an object"));
      auto& output = *head_.add_outputs();
      std::optional<bool> binary;
      bool seen_name = false, seen_parameters = false;
      for (auto field : object) {
        std::string_view key;
        RETURN_IF_ERROR(Sound(field.unescaped_key().get(key)));
        const Place member{&here, key, {}};
        if (key == "name") {
          RETURN_IF_ERROR(Once(seen_name, member));
          std::string_view name;
          RETURN_IF_ERROR(Check(field.value().get_string().get(name), member, "a text"));
          output.set_name(std::string(name));
        } else if (key == "parameters") {
          RETURN_IF_ERROR(Once(seen_parameters, member));
          RETURN_IF_ERROR(ReadParameters(field.value(), member, *output.mutable_parameters()));
          ASSIGN_OR_RETURN(binary, TakeFlag("binary_data", member, *output.mutable_parameters()));
        } else {
          RETURN_IF_ERROR(Sound(PassOver(field.value(), 0)));
        }
      }
      if (output.name().empty()) return Wrong({&here, "name", {}}, "is missing");
      if (binary) form_.outputs.emplace_back(output.name(), *binary);
    }
    return absl::OkStatus();
  }

  const size_t json_bytes_;
  InferRequest& request_;
  inference::ModelInferRequest& head_;
  AnswerForm& form_;
  std::vector<std::optional<uint64_t>> binary_sizes_;
};

absl::Status ReadDocument(std::string& body, size_t json_bytes, RequestReader& reader) {
  thread_local sj::parser parser;
  // The parser may look at so many bytes behind the document; binary tensors will do.
  if (body.capacity() < json_bytes + simdjson::SIMDJSON_PADDING) {
    body.reserve(json_bytes + simdjson::SIMDJSON_PADDING);
  }
  sj::document document;
  const error_code error =
      parser.iterate(simdjson::padded_string_view(body.data(), json_bytes, body.capacity()))
          .get(document);
  absl::Status status;
  if (error != SUCCESS) {
    status = InvalidField("body", fmt::format("is not JSON: {}", simdjson::error_message(error)));
  } else {
    status = reader.Read(document);
    if (absl::IsDataLoss(status)) {
      const char* at = nullptr;
      const bool known = document.current_location().get(at) == SUCCESS;
      status = InvalidField(
          "body", fmt::format("is not JSON: the syntax breaks at byte {}",
                              known ? static_cast<size_t>(at - body.data()) : json_bytes));
    }
  }
  if (json_bytes > kKeepParserBytes) parser = sj::parser();
  return status;
}

}  // namespace

absl::Status ReadInferRequest(std::string body, std::optional<uint64_t> json_bytes,
                              InferRequest& request, AnswerForm& form) {
  if (json_bytes && *json_bytes > body.size()) {
    return InvalidField("inference-header-content-length",
                        fmt::format("is {}, and the body has {} bytes", *json_bytes, body.size()));
  }
  const size_t document = json_bytes.value_or(body.size());
  RequestReader reader(document, request, form);
  RETURN_IF_ERROR(ReadDocument(body, document, reader));

  const absl::Cord binary = KeepBytes(std::move(body)).Subcord(document, SIZE_MAX);
  size_t taken = 0;
  for (size_t i = 0; i < request.contents.size(); ++i) {
    const std::optional<uint64_t> size = reader.binary_sizes()[i];
    if (!size) continue;
    if (*size > binary.size() - taken) {
      return InvalidField(
          fmt::format("inputs.{}.parameters.binary_data_size", request.head.inputs(i).name()),
          fmt::format("is {}, and {} bytes are left{}", *size, binary.size() - taken,
                      json_bytes ? "" : ": inference-header-content-length is missing"));
    }
    request.contents[i] = binary.Subcord(taken, *size);
    taken += *size;
  }
  if (taken != binary.size()) {
    return InvalidField("body",
                        fmt::format("has {} bytes behind the last tensor", binary.size() - taken));
  }
  return absl::OkStatus();
}

absl::Status ReadRawRequest(std::string body, const registry::v1::Signature& signature,
                            InferRequest& request, AnswerForm& form) {
  if (signature.inputs_size() != 1) {
    return InvalidField("inference-header-content-length",
                        "may be 0 only where the model has one input");
  }
  const registry::v1::TensorSpec& spec = signature.inputs(0);
  Input& input = *request.head.add_inputs();
  input.set_name(spec.name());
  input.set_datatype(spec.datatype());
  const std::optional<DataType> type = ParseDataType(spec.datatype());
  if (!type) return absl::InternalError("a model's signature could not be understood");
  // A batch of one: the first dimension is 1 where it is free, and one other may follow from the
  // body's length.
  uint64_t known = ElementSize(*type);
  int free = -1;
  for (int i = 0; i < spec.shape_size(); ++i) {
    const int64_t size = spec.shape(i) >= 0 ? spec.shape(i) : 1;
    if (spec.shape(i) < 0 && i > 0) {
      if (free >= 0) {
        return InvalidField("inference-header-content-length",
                            "may be 0 only where one dimension at most is free beside the batch");
      }
      free = i;
    }
    known *= static_cast<uint64_t>(size);
    input.add_shape(size);
  }
  if (*type == DataType::kBytes) {
    // The body is the one element, without its length.
    const auto size = static_cast<uint32_t>(body.size());
    body.insert(0, reinterpret_cast<const char*>(&size), sizeof(size));
  } else if (free >= 0 && known > 0) {
    input.set_shape(free, static_cast<int64_t>(body.size() / known));
  }
  request.contents.push_back(KeepBytes(std::move(body)));
  form.binary = true;
  return absl::OkStatus();
}

}  // namespace slipway::gateway
