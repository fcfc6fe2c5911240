#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "common/tensor/data_type.h"
#include "common/tensor/shape.h"
#include "fmt/format.h"
#include "inference/open_inference.pb.h"
#include "services/gateway/oip/infer_json.h"

namespace slipway::gateway {
namespace {

// The longest text of one number of each kind, with a comma.
template <class T>
constexpr size_t kMaxDigits = std::is_same_v<T, float>    ? 16
                              : std::is_same_v<T, double> ? 26
                                                          : 3 + sizeof(T) * 241 / 100;

template <class T>
char* WriteNumber(T value, char* at) {
  if constexpr (std::is_same_v<T, bool>) {
    const std::string_view text = value ? "true" : "false";
    return std::copy(text.begin(), text.end(), at);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) {
      constexpr std::string_view kNull = "null";
      return std::copy(kNull.begin(), kNull.end(), at);
    }
    return std::to_chars(at, at + kMaxDigits<T>, value).ptr;
  } else {
    return std::to_chars(at, at + kMaxDigits<T> + 2, value).ptr;
  }
}

// Through a buffer on the stack: a string's own growth is checked once a block, not once a digit.
template <class T>
void WriteNumbers(std::string_view raw, std::string& out) {
  constexpr size_t kStored = sizeof(T);
  constexpr size_t kRoom = kMaxDigits<T> + 8;
  std::array<char, 4096> block;
  char* at = block.data();
  for (size_t i = 0; i < raw.size(); i += kStored) {
    T value;
    if constexpr (std::is_same_v<T, bool>) {
      value = raw[i] != 0;
    } else {
      std::memcpy(&value, raw.data() + i, kStored);
    }
    if (i > 0) *at++ = ',';
    at = WriteNumber(value, at);
    if (block.data() + block.size() - at < static_cast<ptrdiff_t>(kRoom)) {
      out.append(block.data(), static_cast<size_t>(at - block.data()));
      at = block.data();
    }
  }
  out.append(block.data(), static_cast<size_t>(at - block.data()));
}

absl::Status Broken(std::string_view name) {
  return absl::InternalError(
      fmt::format("output {}: shape and content of the worker's answer do not fit", name));
}

absl::Status WriteTexts(std::string_view name, std::string_view raw, int64_t count,
                        std::string& out) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t size;
    if (raw.size() < sizeof(size)) return Broken(name);
    std::memcpy(&size, raw.data(), sizeof(size));
    raw.remove_prefix(sizeof(size));
    if (raw.size() < size) return Broken(name);
    if (i > 0) out += ',';
    if (!AppendJsonString(raw.substr(0, size), out)) {
      return absl::InvalidArgumentError(
          fmt::format("output {} holds bytes that are not UTF-8, which JSON cannot carry", name));
    }
    raw.remove_prefix(size);
  }
  return raw.empty() ? absl::OkStatus() : Broken(name);
}

absl::Status WriteData(std::string_view name, DataType type, std::string_view raw, int64_t count,
                       std::string& out) {
  switch (type) {
    case DataType::kBool:
      WriteNumbers<bool>(raw, out);
      return absl::OkStatus();
    case DataType::kUint8:
      WriteNumbers<uint8_t>(raw, out);
      return absl::OkStatus();
    case DataType::kUint16:
      WriteNumbers<uint16_t>(raw, out);
      return absl::OkStatus();
    case DataType::kUint32:
      WriteNumbers<uint32_t>(raw, out);
      return absl::OkStatus();
    case DataType::kUint64:
      WriteNumbers<uint64_t>(raw, out);
      return absl::OkStatus();
    case DataType::kInt8:
      WriteNumbers<int8_t>(raw, out);
      return absl::OkStatus();
    case DataType::kInt16:
      WriteNumbers<int16_t>(raw, out);
      return absl::OkStatus();
    case DataType::kInt32:
      WriteNumbers<int32_t>(raw, out);
      return absl::OkStatus();
    case DataType::kInt64:
      WriteNumbers<int64_t>(raw, out);
      return absl::OkStatus();
    case DataType::kFp32:
      WriteNumbers<float>(raw, out);
      return absl::OkStatus();
    case DataType::kFp64:
      WriteNumbers<double>(raw, out);
      return absl::OkStatus();
    case DataType::kBytes:
      return WriteTexts(name, raw, count, out);
    case DataType::kFp16:
    case DataType::kBf16:
      return absl::InvalidArgumentError(
          fmt::format("output {} is {}, which JSON cannot carry", name, DataTypeName(type)));
  }
  return Broken(name);
}

// Bytes in one piece; `scratch` holds them where they are in several.
std::string_view Flat(const absl::Cord& content, std::string& scratch) {
  if (const auto flat = content.TryFlat()) return {flat->data(), flat->size()};
  absl::CopyCordToString(content, &scratch);
  return scratch;
}

using Parameters = google::protobuf::Map<std::string, inference::InferParameter>;

// ,"parameters":{...} where there are any.
void WriteParameters(const Parameters& parameters, std::string& out) {
  bool first = true;
  for (const auto& [name, parameter] : parameters) {
    out += first ? ",\"parameters\":{" : ",";
    first = false;
    AppendJsonString(name, out);
    out += ':';
    switch (parameter.parameter_choice_case()) {
      case inference::InferParameter::kBoolParam:
        out += parameter.bool_param() ? "true" : "false";
        break;
      case inference::InferParameter::kInt64Param:
        out += std::to_string(parameter.int64_param());
        break;
      case inference::InferParameter::kUint64Param:
        out += std::to_string(parameter.uint64_param());
        break;
      case inference::InferParameter::kDoubleParam: {
        std::array<char, 32> text;
        char* const end = WriteNumber(parameter.double_param(), text.data());
        out.append(text.data(), static_cast<size_t>(end - text.data()));
        break;
      }
      case inference::InferParameter::kStringParam:
        AppendJsonString(parameter.string_param(), out);
        break;
      case inference::InferParameter::PARAMETER_CHOICE_NOT_SET:
        out += "null";
        break;
    }
  }
  if (!first) out += '}';
}

bool IsBinary(const AnswerForm& form, std::string_view output) {
  for (const auto& [name, binary] : form.outputs) {
    if (name == output) return binary;
  }
  return form.binary;
}

// ,"parameters":{...} and the size of what follows the JSON.
void WriteBinaryParameters(const Parameters& parameters, size_t bytes, std::string& out) {
  const size_t before = out.size();
  WriteParameters(parameters, out);
  if (out.size() == before) {
    out += ",\"parameters\":{";
  } else {
    out.back() = ',';
  }
  fmt::format_to(std::back_inserter(out), "\"binary_data_size\":{}}}", bytes);
}

absl::Status WriteOutput(const inference::ModelInferResponse::InferOutputTensor& output,
                         const absl::Cord& content, bool binary, std::string& out) {
  const std::optional<DataType> type = ParseDataType(output.datatype());
  const Shape shape(std::vector<int64_t>(output.shape().begin(), output.shape().end()));
  const absl::StatusOr<int64_t> count = shape.ElementCount("shape");
  if (!type || !count.ok()) return Broken(output.name());
  if (*type != DataType::kBytes) {
    const absl::StatusOr<int64_t> bytes = shape.ByteCount(*type, "shape");
    if (!bytes.ok() || *bytes != static_cast<int64_t>(content.size())) return Broken(output.name());
  }
  out += "{\"name\":";
  AppendJsonString(output.name(), out);
  out += ",\"shape\":[";
  for (int i = 0; i < output.shape_size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(output.shape(i));
  }
  out += "],\"datatype\":\"";
  out += output.datatype();
  out += '"';
  if (binary) {
    WriteBinaryParameters(output.parameters(), content.size(), out);
  } else {
    WriteParameters(output.parameters(), out);
    out += ",\"data\":[";
    std::string scratch;
    RETURN_IF_ERROR(WriteData(output.name(), *type, Flat(content, scratch), *count, out));
    out += ']';
  }
  out += '}';
  return absl::OkStatus();
}

// How many bytes of UTF-8 `text` starts with as one character; 0 where it is none.
size_t CharacterSize(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;   // no overlong forms
    const unsigned high = first == 0xED ? 0x9F : 0xBF;  // no surrogates
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text.front());
    if (first == '"' || first == '\\') {
      out += '\\';
      out += text.front();
      text.remove_prefix(1);
    } else if (first < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", first);
      text.remove_prefix(1);
    } else {
      const size_t size = CharacterSize(text);
      if (size == 0) return false;
      out.append(text.substr(0, size));
      text.remove_prefix(size);
    }
  }
  out += '"';
  return true;
}

absl::StatusOr<InferBody> WriteInferAnswer(const InferAnswer& answer, const AnswerForm& form,
                                           std::string_view model_name,
                                           std::string_view model_version) {
  const inference::ModelInferResponse& head = answer.head;
  std::vector<bool> binary;
  size_t binary_bytes = 0;
  size_t json_bytes = 256;
  for (int i = 0; i < head.outputs_size(); ++i) {
    binary.push_back(IsBinary(form, head.outputs(i).name()));
    json_bytes += 128;
    (binary[i] ? binary_bytes : json_bytes) += (binary[i] ? 1 : 3) * answer.contents[i].size();
  }
  InferBody body;
  std::string& out = body.bytes;
  out.reserve(json_bytes + binary_bytes);
  out += "{\"model_name\":";
  AppendJsonString(model_name, out);
  out += ",\"model_version\":";
  AppendJsonString(model_version, out);
  if (!head.id().empty()) {
    out += ",\"id\":";
    AppendJsonString(head.id(), out);
  }
  WriteParameters(head.parameters(), out);
  out += ",\"outputs\":[";
  for (int i = 0; i < head.outputs_size(); ++i) {
    if (i > 0) out += ',';
    RETURN_IF_ERROR(WriteOutput(head.outputs(i), answer.contents[i], binary[i], out));
  }
  out += "]}";
  if (std::find(binary.begin(), binary.end(), true) == binary.end()) return body;
  body.json_bytes = out.size();
  for (int i = 0; i < head.outputs_size(); ++i) {
    if (!binary[i]) continue;
    for (const absl::string_view chunk : answer.contents[i].Chunks()) {
      out.append(chunk.data(), chunk.size());
    }
  }
  return body;
}

}  // namespace slipway::gateway
