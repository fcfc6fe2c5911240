#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "common/tensor/data_type.h"
#include "common/tensor/shape.h"
#include "fmt/format.h"
#include "inference/open_inference.pb.h"
#include "services/gateway/oip/infer_json.h"
#include "simdjson.h"

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

// A place in the request, written out only when there is an error to tell.
struct Place {
  const Place* parent = nullptr;
  std::string_view key;
  std::optional<size_t> index;

  std::string ToString() const {
    std::string text = parent == nullptr ? "" : parent->ToString();
    if (index) return fmt::format("{}[{}]", text, *index);
    if (!text.empty()) text += '.';
    text += key.size() <= 80 ? std::string(key) : std::string(key.substr(0, 80)) + "...";
    return text;
  }
};

absl::Status Wrong(const Place& place, std::string_view problem) {
  return InvalidField(place.ToString(), problem);
}

// ---- Elements ----------------------------------------------------------------------------------

// One element of a tensor from its JSON value into `out`; not SUCCESS where it does not fit.
template <class T>
error_code ReadElement(simdjson::simdjson_result<sj::value> value, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.get_bool().get(out);
  } else if constexpr (std::is_same_v<T, double>) {
    return value.get_double().get(out);
  } else if constexpr (std::is_same_v<T, float>) {
    double wide = 0;
    if (const error_code error = value.get_double().get(wide); error != SUCCESS) return error;
    out = static_cast<float>(wide);
    return std::isinf(out) ? simdjson::NUMBER_OUT_OF_RANGE : SUCCESS;
  } else if constexpr (std::is_signed_v<T>) {
    int64_t wide = 0;
    if (const error_code error = value.get_int64().get(wide); error != SUCCESS) return error;
    out = static_cast<T>(wide);
    return out == wide ? SUCCESS : simdjson::NUMBER_OUT_OF_RANGE;
  } else {
    uint64_t wide = 0;
    if (const error_code error = value.get_uint64().get(wide); error != SUCCESS) return error;
    out = static_cast<T>(wide);
    return out == wide ? SUCCESS : simdjson::NUMBER_OUT_OF_RANGE;
  }
}

// Where the elements of a tensor of fixed-size elements go.
template <class T>
class FixedSink {
 public:
  FixedSink(std::string& raw, size_t count) : raw_(raw), count_(count) {
    raw_.resize(count * sizeof(T));
  }
  error_code Add(simdjson::simdjson_result<sj::value> value) {
    if (added_ == count_) return simdjson::INDEX_OUT_OF_BOUNDS;
    T element{};
    if (const error_code error = ReadElement<T>(value, element); error != SUCCESS) return error;
    std::memcpy(raw_.data() + added_ * sizeof(T), &element, sizeof(T));
    ++added_;
    return SUCCESS;
  }
  size_t added() const { return added_; }

 private:
  std::string& raw_;
  const size_t count_;
  size_t added_ = 0;
};

// The same for BYTES: each element is its length and its bytes.
class BytesSink {
 public:
  BytesSink(std::string& raw, size_t count) : raw_(raw), count_(count) {}
  error_code Add(simdjson::simdjson_result<sj::value> value) {
    if (added_ == count_) return simdjson::INDEX_OUT_OF_BOUNDS;
    std::string_view text;
    if (const error_code error = value.get_string().get(text); error != SUCCESS) return error;
    const uint32_t size = static_cast<uint32_t>(text.size());
    raw_.append(reinterpret_cast<const char*>(&size), sizeof(size));
    raw_.append(text);
    ++added_;
    return SUCCESS;
  }
  size_t added() const { return added_; }

 private:
  std::string& raw_;
  const size_t count_;
  size_t added_ = 0;
};

// Reads `data`, flat or nested.
template <class Sink>
class DataReader {
 public:
  DataReader(const Place& place, std::string_view datatype, const Shape& shape, Sink sink)
      : place_(place), datatype_(datatype), shape_(shape), sink_(std::move(sink)) {}

  absl::Status Read(simdjson::simdjson_result<sj::value> data, int64_t count) {
    sj::array array;
    if (const error_code error = data.get_array().get(array); error != SUCCESS) {
      return Fail(error, "must be a list");
    }
    RETURN_IF_ERROR(ReadLevel(array, 0));
    if (static_cast<int64_t>(sink_.added()) != count) {
      return Wrong(place_, fmt::format("has {} elements, the shape {} says {}", sink_.added(),
                                       shape_.ToString(), count));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadLevel(sj::array array, size_t level) {
    int64_t length = 0;
    bool nested = false;
    for (auto element : array) {
      if (length == 0 && level + 1 < shape_.rank()) {
        sj::json_type type{};
        if (const error_code error = element.type().get(type); error != SUCCESS) {
          return Fail(error, "");
        }
        nested = type == sj::json_type::array;
        if (level > 0 && !nested) {
          return Wrong(place_,
                       fmt::format("is nested less deeply than the shape {}", shape_.ToString()));
        }
      }
      if (nested) {
        if (length == shape_[level]) return TooMany(level);
        sj::array inner;
        if (const error_code error = element.get_array().get(inner); error != SUCCESS) {
          return Fail(error, "mixes lists and elements");
        }
        RETURN_IF_ERROR(ReadLevel(inner, level + 1));
      } else if (const error_code error = sink_.Add(element); error != SUCCESS) {
        return FailElement(error);
      }
      ++length;
    }
    // A flat list is as long as the whole tensor, which Read checks.
    if ((nested || level > 0) && length != shape_[level]) {
      return Wrong(place_, fmt::format("has a list of {} where the shape {} says {}", length,
                                       shape_.ToString(), shape_[level]));
    }
    return absl::OkStatus();
  }

  absl::Status TooMany(size_t level) const {
    return Wrong(place_, fmt::format("has a list of more than {} where the shape {} says {}",
                                     shape_[level], shape_.ToString(), shape_[level]));
  }

  absl::Status FailElement(error_code error) const {
    switch (error) {
      case simdjson::INDEX_OUT_OF_BOUNDS:
        return Wrong(place_,
                     fmt::format("has more elements than the shape {} says", shape_.ToString()));
      case simdjson::NUMBER_OUT_OF_RANGE:
      case simdjson::INCORRECT_TYPE:
      case simdjson::NUMBER_ERROR:
        return Wrong(place_, fmt::format("has at place {} no {}", sink_.added(), datatype_));
      default:
        return Fail(error, "");
    }
  }

  // What is wrong with the document itself is told with the byte where it breaks, by the caller.
  absl::Status Fail(error_code error, std::string_view problem) const {
    if (error == simdjson::INCORRECT_TYPE && !problem.empty()) return Wrong(place_, problem);
    return absl::DataLossError(simdjson::error_message(error));
  }

  const Place& place_;
  const std::string_view datatype_;
  const Shape& shape_;
  Sink sink_;
};

template <class Sink>
absl::Status ReadDataInto(simdjson::simdjson_result<sj::value> data, const Place& place,
                          std::string_view datatype, const Shape& shape, int64_t count,
                          std::string& raw) {
  return DataReader<Sink>(place, datatype, shape, Sink(raw, static_cast<size_t>(count)))
      .Read(data, count);
}

absl::Status ReadData(simdjson::simdjson_result<sj::value> data, const Place& place, DataType type,
                      const Shape& shape, int64_t count, std::string& raw) {
  const auto read = [&]<class Sink>() {
    return ReadDataInto<Sink>(data, place, DataTypeName(type), shape, count, raw);
  };
  switch (type) {
    case DataType::kBool:
      return read.template operator()<FixedSink<bool>>();
    case DataType::kUint8:
      return read.template operator()<FixedSink<uint8_t>>();
    case DataType::kUint16:
      return read.template operator()<FixedSink<uint16_t>>();
    case DataType::kUint32:
      return read.template operator()<FixedSink<uint32_t>>();
    case DataType::kUint64:
      return read.template operator()<FixedSink<uint64_t>>();
    case DataType::kInt8:
      return read.template operator()<FixedSink<int8_t>>();
    case DataType::kInt16:
      return read.template operator()<FixedSink<int16_t>>();
    case DataType::kInt32:
      return read.template operator()<FixedSink<int32_t>>();
    case DataType::kInt64:
      return read.template operator()<FixedSink<int64_t>>();
    case DataType::kFp32:
      return read.template operator()<FixedSink<float>>();
    case DataType::kFp64:
      return read.template operator()<FixedSink<double>>();
    case DataType::kBytes:
      return read.template operator()<BytesSink>();
    case DataType::kFp16:
    case DataType::kBf16:
      break;
  }
  return absl::InternalError("a datatype without a JSON form was read");
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

class RequestReader {
 public:
  RequestReader(size_t body_bytes, inference::ModelInferRequest& request)
      : body_bytes_(body_bytes), request_(request) {}

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
        request_.set_id(std::string(id));
      } else if (key == "parameters") {
        RETURN_IF_ERROR(Once(seen_parameters, place));
        RETURN_IF_ERROR(ReadParameters(field.value(), place, *request_.mutable_parameters()));
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
    if (request_.inputs().empty()) return InvalidField("inputs", "must hold at least one tensor");
    return absl::OkStatus();
  }

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
    inference::ModelInferRequest::InferInputTensor& input = *request_.add_inputs();
    std::string& raw = *request_.add_raw_input_contents();
    std::optional<DataType> type;
    bool seen_name = false, seen_type = false, seen_shape = false, seen_parameters = false,
         seen_data = false, data_was_read = false;
    const auto read_data = [&](Value value) -> absl::Status {
      RETURN_IF_ERROR(ReadTensor(value, inputs, place, input, *type, raw));
      data_was_read = true;
      return absl::OkStatus();
    };
    for (auto field : object) {
      std::string_view key;
      RETURN_IF_ERROR(Sound(field.unescaped_key().get(key)));
      const Place here{&place, key, {}};
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
        if (*type == DataType::kFp16 || *type == DataType::kBf16) {
          return Wrong(here, fmt::format("{} has no JSON form", name));
        }
        input.set_datatype(std::string(name));
      } else if (key == "shape") {
        RETURN_IF_ERROR(Once(seen_shape, here));
        RETURN_IF_ERROR(ReadShape(field.value(), here, input));
      } else if (key == "parameters") {
        RETURN_IF_ERROR(Once(seen_parameters, here));
        RETURN_IF_ERROR(ReadParameters(field.value(), here, *input.mutable_parameters()));
        if (input.parameters().contains("binary_data_size")) {
          return Wrong(here, "binary tensors are not taken here");
        }
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
    if (!seen_data) return Wrong({&tensor, "data", {}}, "is missing");
    for (int i = 0; i + 1 < request_.inputs_size(); ++i) {
      if (request_.inputs(i).name() == input.name()) return Wrong(tensor, "is given twice");
    }
    if (data_was_read) return absl::OkStatus();
    RETURN_IF_ERROR(Sound(object.reset().error()));
    return read_data(object.find_field_unordered("data"));
  }

  static absl::Status ReadShape(Value value, const Place& place,
                                inference::ModelInferRequest::InferInputTensor& input) {
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

  absl::Status ReadTensor(Value value, const Place& inputs, const Place& index,
                          const inference::ModelInferRequest::InferInputTensor& input,
                          DataType type, std::string& raw) {
    const Place named{&inputs, input.name(), {}};
    const Place& tensor = input.name().empty() ? index : named;
    const Place shape_place{&tensor, "shape", {}};
    const Place data_place{&tensor, "data", {}};
    const Shape shape(std::vector<int64_t>(input.shape().begin(), input.shape().end()));
    const absl::StatusOr<int64_t> count = shape.ElementCount("shape");
    // Each element takes two bytes of JSON, so that no number of a caller's is allocated.
    if (!count.ok() || static_cast<uint64_t>(*count) > body_bytes_) {
      return Wrong(shape_place,
                   fmt::format("{} has more elements than the body has bytes", shape.ToString()));
    }
    return ReadData(value, data_place, type, shape, *count, raw);
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
      auto& output = *request_.add_outputs();
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
        } else {
          RETURN_IF_ERROR(Sound(PassOver(field.value(), 0)));
        }
      }
      if (output.name().empty()) return Wrong({&here, "name", {}}, "is missing");
    }
    return absl::OkStatus();
  }

  const size_t body_bytes_;
  inference::ModelInferRequest& request_;
};

}  // namespace

absl::Status ReadInferRequest(std::string& body, inference::ModelInferRequest& request) {
  thread_local sj::parser parser;
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  sj::document document;
  const error_code error =
      parser.iterate(simdjson::padded_string_view(body.data(), body.size(), body.capacity()))
          .get(document);
  absl::Status status;
  if (error != SUCCESS) {
    status = InvalidField("body", fmt::format("is not JSON: {}", simdjson::error_message(error)));
  } else {
    status = RequestReader(body.size(), request).Read(document);
    if (absl::IsDataLoss(status)) {
      const char* at = nullptr;
      const bool known = document.current_location().get(at) == SUCCESS;
      status = InvalidField(
          "body", fmt::format("is not JSON: the syntax breaks at byte {}",
                              known ? static_cast<size_t>(at - body.data()) : body.size()));
    }
  }
  if (body.size() > kKeepParserBytes) parser = sj::parser();
  return status;
}

}  // namespace slipway::gateway
