#include "common/pipeline/condition.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "common/text/text.h"
#include "fmt/format.h"

namespace slipway::pipeline {
namespace {

// Takes `word` from the front of `rest` and what space follows; false where it is not there.
bool Take(std::string_view word, std::string_view& rest) {
  if (!rest.starts_with(word)) return false;
  rest = WithoutBlanks(rest.substr(word.size()));
  return true;
}

// The values of a list, apart. A comma inside quotes parts nothing.
std::vector<std::string_view> Split(std::string_view list) {
  std::vector<std::string_view> parts;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] == '"') quoted = !quoted;
    if (list[i] != ',' || quoted) continue;
    parts.push_back(WithoutBlanks(list.substr(begin, i - begin)));
    begin = i + 1;
  }
  parts.push_back(WithoutBlanks(list.substr(begin)));
  return parts;
}

bool IsInteger(DataType type) {
  switch (type) {
    case DataType::kUint8:
    case DataType::kUint16:
    case DataType::kUint32:
    case DataType::kUint64:
    case DataType::kInt8:
    case DataType::kInt16:
    case DataType::kInt32:
    case DataType::kInt64:
      return true;
    default:
      return false;
  }
}

bool IsFloat(DataType type) { return type == DataType::kFp32 || type == DataType::kFp64; }

template <class T>
std::vector<T> Elements(const Tensor& tensor) {
  std::vector<T> elements(static_cast<size_t>(tensor.element_count()));
  if (!elements.empty()) {
    std::memcpy(elements.data(), tensor.data().data(), elements.size() * sizeof(T));
  }
  return elements;
}

}  // namespace

absl::StatusOr<Condition::Value> Condition::ParseValue(std::string_view text,
                                                       std::string_view field) {
  if (text == "true") return Value(true);
  if (text == "false") return Value(false);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    const std::string_view inside = text.substr(1, text.size() - 2);
    if (inside.find('"') == std::string_view::npos) return Value(std::string(inside));
  }
  if (const auto integer = ParseNumber<int64_t>(text)) return Value(*integer);
  if (const auto number = ParseNumber<double>(text); number && std::isfinite(*number)) {
    // 1.0 is 1: the same test, and of whole numbers, too.
    const bool whole = std::trunc(*number) == *number && std::abs(*number) < 1e15;
    return whole ? Value(static_cast<int64_t>(*number)) : Value(*number);
  }
  return InvalidField(field, fmt::format("\"{}\" is no number, no \"text\" and neither true nor "
                                         "false",
                                         text.substr(0, 80)));
}

absl::StatusOr<Condition> Condition::Parse(std::string_view text, std::string_view field) {
  if (text.size() > kMaxBytes) {
    return InvalidField(field, fmt::format("must be at most {} bytes", kMaxBytes));
  }
  std::string_view rest = WithoutBlanks(text);
  const size_t end = std::min(rest.find_first_of(" \t<>=!"), rest.size());
  Condition condition;
  condition.tensor_ = rest.substr(0, end);
  rest = WithoutBlanks(rest.substr(end));

  // The longer ones first: "<" begins "<=".
  struct Operator {
    std::string_view text;
    Test test;
    bool negated;
  };
  static constexpr Operator kOperators[] = {
      {"<=", Test::kGreater, true}, {"<", Test::kLess, false}, {">=", Test::kLess, true},
      {">", Test::kGreater, false}, {"==", Test::kIn, false},  {"!=", Test::kIn, true},
  };
  const auto* const found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                         [&](const Operator& o) { return Take(o.text, rest); });
  std::vector<std::string_view> values;
  if (found != std::end(kOperators)) {
    condition.test_ = found->test;
    condition.negated_ = found->negated;
    values = {rest};
  } else {
    condition.negated_ = Take("not ", rest);
    if (!Take("in", rest) || !rest.starts_with('[') || !rest.ends_with(']')) {
      return InvalidField(field,
                          "must be like \"step.output < 0.5\" (<=, >, >=, ==, !=) or "
                          "\"step.output in [1, 2]\" (not in)");
    }
    values = Split(rest.substr(1, rest.size() - 2));
  }
  if (values.size() > kMaxValues) {
    return InvalidField(field, fmt::format("must be at most {} values", kMaxValues));
  }
  for (const std::string_view each : values) {
    ASSIGN_OR_RETURN(Value value, ParseValue(each, field));
    condition.values_.push_back(std::move(value));
  }
  const Value& first = condition.values_[0];
  if (condition.test_ != Test::kIn && !std::holds_alternative<int64_t>(first) &&
      !std::holds_alternative<double>(first)) {
    return InvalidField(field, "only numbers are less or greater");
  }
  return condition;
}

bool Condition::SameTest(const Condition& other) const {
  return tensor_ == other.tensor_ && test_ == other.test_ && values_ == other.values_;
}

bool Condition::Fits(const Value& value, DataType type) {
  if (IsInteger(type)) return std::holds_alternative<int64_t>(value);
  if (IsFloat(type)) {
    return std::holds_alternative<int64_t>(value) || std::holds_alternative<double>(value);
  }
  if (type == DataType::kBool) return std::holds_alternative<bool>(value);
  return type == DataType::kBytes && std::holds_alternative<std::string>(value);
}

absl::Status Condition::CheckAgainst(const TensorSpec& spec, std::string_view field) const {
  const auto& dims = spec.shape.dims();
  const bool one_a_row =
      !dims.empty() && dims[0] == Shape::kAny &&
      std::all_of(dims.begin() + 1, dims.end(), [](int64_t d) { return d == 1; });
  if (!one_a_row) {
    return InvalidField(field, fmt::format("{} has the shape {}; a condition needs one value of "
                                           "each row: [-1] or [-1, 1]",
                                           tensor_, spec.shape.ToString()));
  }
  for (const Value& value : values_) {
    if (!Fits(value, spec.dtype)) {
      return InvalidField(field, fmt::format("{} is {}, which cannot be compared with such a value",
                                             tensor_, DataTypeName(spec.dtype)));
    }
  }
  return absl::OkStatus();
}

template <class T>
bool Condition::Is(const T& element, const Value& value) const {
  if constexpr (std::is_same_v<T, bool>) {
    return element == std::get<bool>(value);
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return element == std::get<std::string>(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    // Rounded as the tensor's elements are, so that an FP32 0.9 is 0.9.
    const auto* const integer = std::get_if<int64_t>(&value);
    const T number =
        integer != nullptr ? static_cast<T>(*integer) : static_cast<T>(std::get<double>(value));
    return test_ == Test::kLess      ? element < number
           : test_ == Test::kGreater ? element > number
                                     : element == number;
  } else {
    const int64_t number = std::get<int64_t>(value);
    return test_ == Test::kLess      ? std::cmp_less(element, number)
           : test_ == Test::kGreater ? std::cmp_greater(element, number)
                                     : std::cmp_equal(element, number);
  }
}

template <class T>
bool Condition::Holds(const T& element) const {
  const auto is = [&](const Value& value) { return Is(element, value); };
  return std::any_of(values_.begin(), values_.end(), is) != negated_;
}

std::vector<bool> Condition::Rows(const Tensor& tensor) const {
  std::vector<bool> rows;
  const auto ask = [&]<class T>(const std::vector<T>& elements) {
    rows.reserve(elements.size());
    for (const T& element : elements) rows.push_back(Holds(element));
  };
  switch (tensor.dtype()) {
    case DataType::kBool:
      for (const uint8_t element : Elements<uint8_t>(tensor)) rows.push_back(Holds(element != 0));
      break;
    case DataType::kUint8:
      ask(Elements<uint8_t>(tensor));
      break;
    case DataType::kUint16:
      ask(Elements<uint16_t>(tensor));
      break;
    case DataType::kUint32:
      ask(Elements<uint32_t>(tensor));
      break;
    case DataType::kUint64:
      ask(Elements<uint64_t>(tensor));
      break;
    case DataType::kInt8:
      ask(Elements<int8_t>(tensor));
      break;
    case DataType::kInt16:
      ask(Elements<int16_t>(tensor));
      break;
    case DataType::kInt32:
      ask(Elements<int32_t>(tensor));
      break;
    case DataType::kInt64:
      ask(Elements<int64_t>(tensor));
      break;
    case DataType::kFp32:
      ask(Elements<float>(tensor));
      break;
    case DataType::kFp64:
      ask(Elements<double>(tensor));
      break;
    case DataType::kBytes:
      ask(tensor.Texts());
      break;
    case DataType::kFp16:
    case DataType::kBf16:
      break;  // CheckAgainst takes none
  }
  return rows;
}

}  // namespace slipway::pipeline
