#include "yaml-cpp/yaml.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/fields/json.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

template <class T>
std::optional<T> ParseWhole(std::string_view text, int base = 10) {
  T value{};
  std::from_chars_result result{};
  if constexpr (std::is_integral_v<T>) {
    result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  } else {
    result = std::from_chars(text.data(), text.data() + text.size(), value);
  }
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

bool OneOf(std::string_view text, std::initializer_list<std::string_view> choices) {
  for (const std::string_view choice : choices) {
    if (text == choice) return true;
  }
  return false;
}

// True for what the core schema calls a float: [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? )
// ( [eE] [-+]? [0-9]+ )?
bool LooksLikeNumber(std::string_view text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t from = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - from;
  };
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  const size_t whole = digits();
  size_t fraction = 0;
  if (at < text.size() && text[at] == '.') {
    ++at;
    fraction = digits();
  }
  if (whole + fraction == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

class Converter {
 public:
  explicit Converter(const DocumentLimits& limits) : limits_(limits) {}

  absl::StatusOr<json> Convert(const YAML::Node& node, const std::string& path, int depth) {
    if (++values_ > limits_.values) {
      return Problem(node, path, fmt::format("passes the limit of {} values", limits_.values));
    }
    if (!node.IsScalar() && !node.IsNull() && depth >= limits_.depth) {
      return Problem(node, path, fmt::format("is nested deeper than {} levels", limits_.depth));
    }
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return json(nullptr);
      case YAML::NodeType::Scalar:
        return ConvertScalar(node, path);
      case YAML::NodeType::Sequence: {
        json list = json::array();
        for (const YAML::Node& item : node) {
          ASSIGN_OR_RETURN(json value, Convert(item, JoinPath(path, list.size()), depth + 1));
          list.push_back(std::move(value));
        }
        return list;
      }
      case YAML::NodeType::Map:
        break;
    }
    json object = json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return Problem(entry.first, path, "has a key that is no text");
      const std::string& key = entry.first.Scalar();
      const std::string below = JoinPath(path, key);
      if (object.contains(key)) return Problem(entry.first, below, "is given twice");
      ASSIGN_OR_RETURN(object[key], Convert(entry.second, below, depth + 1));
    }
    return object;
  }

 private:
  static absl::Status Problem(const YAML::Node& node, const std::string& path,
                              std::string_view problem) {
    return InvalidField(path.empty() ? "document" : path,
                        fmt::format("{} (line {})", problem, node.Mark().line + 1));
  }

  absl::StatusOr<json> ConvertScalar(const YAML::Node& node, const std::string& path) {
    const std::string& text = node.Scalar();
    if (node.Tag() == "!") return json(text);  // yaml-cpp's mark of a quoted scalar
    if (!node.Tag().empty() && node.Tag() != "?") {
      return Problem(node, path, fmt::format("has the tag {}, and tags are not taken", node.Tag()));
    }
    if (OneOf(text, {"", "~", "null", "Null", "NULL"})) return json(nullptr);
    if (OneOf(text, {"true", "True", "TRUE"})) return json(true);
    if (OneOf(text, {"false", "False", "FALSE"})) return json(false);
    if (OneOf(text, {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "-.inf", "-.Inf", "-.INF",
                     "+.inf", "+.Inf", "+.INF"})) {
      return Problem(node, path, "must be a finite number");
    }
    const bool hexadecimal = text.starts_with("0x");
    if (hexadecimal || text.starts_with("0o")) {
      if (const auto value =
              ParseWhole<int64_t>(std::string_view(text).substr(2), hexadecimal ? 16 : 8)) {
        return json(*value);
      }
    }
    if (!LooksLikeNumber(text)) return json(text);
    const std::string_view number = std::string_view(text).substr(text.starts_with('+') ? 1 : 0);
    if (const auto value = ParseWhole<int64_t>(number)) return json(*value);
    if (const auto value = ParseWhole<uint64_t>(number)) return json(*value);
    if (const auto value = ParseWhole<double>(number); value && std::isfinite(*value)) {
      return json(*value);
    }
    return Problem(node, path, "holds a number that no double can");
  }

  const DocumentLimits limits_;
  size_t values_ = 0;
};

// Texts that other readers of YAML take for something else, though ParseYaml does not.
bool IsWordOfYaml11(std::string_view text) {
  return OneOf(text, {"y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON",
                      "off", "Off", "OFF"});
}

// On one line: JSON is YAML, and a text needs no quotes where it is read as itself.
std::string PrintScalar(const ordered_json& value) {
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  const bool simple = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_-./").find(c) != std::string_view::npos;
  });
  if (text.empty() || !simple || !absl::ascii_isalpha(static_cast<unsigned char>(text[0])) ||
      IsWordOfYaml11(text)) {
    return value.dump();
  }
  const auto read = ParseYaml(text, "text");
  return read.ok() && *read == json(text) ? text : value.dump();
}

std::string PrintFlow(const ordered_json& value) {
  if (!value.is_structured()) return PrintScalar(value);
  std::string out;
  for (const auto& [key, item] : value.items()) {
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ",
                       value.is_object() ? PrintScalar(ordered_json(key)) + ": " : "",
                       PrintFlow(item));
  }
  return value.is_object() ? "{" + out + "}" : "[" + out + "]";
}

void PrintBlock(const ordered_json& value, const std::string& indent, std::string& out) {
  for (const auto& [key, item] : value.items()) {
    out += indent + (value.is_object() ? PrintScalar(ordered_json(key)) + ":" : "-");
    const bool scalars =
        std::none_of(item.begin(), item.end(), [](const auto& v) { return v.is_structured(); });
    if (!item.is_structured() || item.empty() ||
        (scalars && (item.is_array() || value.is_array()))) {
      out += " " + PrintFlow(item) + "\n";
    } else {
      out += "\n";
      PrintBlock(item, indent + "  ", out);
    }
  }
}

}  // namespace

std::string PrintYaml(const ordered_json& document) {
  if (!document.is_structured() || document.empty()) return PrintFlow(document) + "\n";
  std::string out;
  PrintBlock(document, "", out);
  return out;
}

absl::StatusOr<json> ParseYaml(std::string_view text, std::string_view path,
                               const DocumentLimits& limits) {
  const std::string root(path.empty() ? "document" : path);
  if (text.size() > limits.bytes) return TooLarge(root, limits.bytes);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.empty()) return json(nullptr);
    if (documents.size() > 1) return InvalidField(root, "holds more than one YAML document");
    return Converter(limits).Convert(documents[0], std::string(path), 0);
  } catch (const YAML::Exception& error) {
    return InvalidField(root, fmt::format("is not YAML: {} (line {}, column {})", error.msg,
                                          error.mark.line + 1, error.mark.column + 1));
  }
}

}  // namespace slipway
