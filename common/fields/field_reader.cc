#include "common/fields/field_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;

constexpr size_t kMaxErrors = 20;                        // more help nobody
constexpr size_t kMaxShownText = 80;                     // of a caller's value in a message
constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53

std::string Show(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMaxShownText) {
    text.resize(kMaxShownText);
    while (!text.empty() && (text.back() & 0x80) != 0) text.pop_back();  // no torn UTF-8
    text += "...";
  }
  return text;
}

// "between 1 and 10", "at least 1 and less than 2", ... or "" for no bounds.
std::string Expected(const Limits& limits) {
  const bool has_min = std::isfinite(limits.min);
  const bool has_max = std::isfinite(limits.max);
  if (has_min && has_max) return fmt::format("between {} and {}", limits.min, limits.max);
  std::vector<std::string> parts;
  if (has_min) parts.push_back(fmt::format("at least {}", limits.min));
  if (std::isfinite(limits.above)) parts.push_back(fmt::format("more than {}", limits.above));
  if (has_max) parts.push_back(fmt::format("at most {}", limits.max));
  if (std::isfinite(limits.below)) parts.push_back(fmt::format("less than {}", limits.below));
  return fmt::format("{}", fmt::join(parts, " and "));
}

bool Within(double value, const Limits& limits) {
  return value >= limits.min && value <= limits.max && value > limits.above && value < limits.below;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

const json& EmptyObject() {
  static const json* const empty = new json(json::object());
  return *empty;
}

}  // namespace

std::string_view NearestName(std::string_view name, const std::vector<std::string_view>& names) {
  constexpr size_t kLongestName = 64;  // a caller's key may be megabytes
  std::string_view nearest;
  if (name.size() > kLongestName) return nearest;
  size_t least = (name.size() < 4 ? 1 : std::max<size_t>(2, name.size() / 3)) + 1;
  for (const std::string_view candidate : names) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

FieldReader::FieldReader(const json& object, std::string path)
    : FieldReader(object, std::move(path), &own_errors_) {}

FieldReader::FieldReader(const json& object, std::string path, Errors* errors)
    : object_(object.is_object() ? object : EmptyObject()),
      is_object_(object.is_object()),
      path_(std::move(path)),
      errors_(errors) {
  if (!is_object_) FailAt(path_, fmt::format("must be an object, got {}", Show(object)));
}

FieldReader::~FieldReader() = default;

void FieldReader::FailAt(std::string path, std::string problem) {
  errors_->emplace_back(path.empty() ? "document" : std::move(path), std::move(problem));
}

void FieldReader::Fail(std::string_view name, std::string_view problem) {
  FailAt(name.empty() ? path_ : JoinPath(path_, name), std::string(problem));
}

const json* FieldReader::Find(std::string_view name, bool required) {
  known_.emplace_back(name);
  const auto it = object_.find(known_.back());
  if (it == object_.end() || it->is_null()) {
    if (required && is_object_) Fail(name, "is required");
    return nullptr;
  }
  return &*it;
}

std::optional<uint64_t> FieldReader::ToInteger(const json& value, const std::string& path,
                                               const Limits& limits, const IntegerRange& range) {
  // The number as sign and magnitude, so that both int64 and uint64 fit.
  bool negative = false;
  uint64_t magnitude = 0;
  bool is_integer = true;
  if (value.is_number_unsigned()) {
    magnitude = value.get<uint64_t>();
  } else if (value.is_number_integer()) {
    const auto number = value.get<int64_t>();
    negative = number < 0;
    magnitude = negative ? ~static_cast<uint64_t>(number) + 1 : static_cast<uint64_t>(number);
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    is_integer = std::trunc(number) == number && std::abs(number) <= kMaxExactInteger;
    if (is_integer) {
      negative = number < 0;
      magnitude = static_cast<uint64_t>(std::abs(number));
    }
  } else if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    negative = text.starts_with('-');
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + (negative ? 1 : 0), end, magnitude);
    is_integer = error == std::errc() && stop == end;
  } else {
    is_integer = false;
  }
  if (!is_integer) {
    FailAt(path, fmt::format("must be a whole number, got {}", Show(value)));
    return std::nullopt;
  }
  const double approximate =
      negative ? -static_cast<double>(magnitude) : static_cast<double>(magnitude);
  const uint64_t lowest = ~static_cast<uint64_t>(range.min) + 1;  // magnitude of range.min
  const bool fits =
      negative ? magnitude <= lowest && (range.min < 0 || magnitude == 0) : magnitude <= range.max;
  if (!fits || !Within(approximate, limits)) {
    const std::string expected = Expected(limits);
    FailAt(path,
           fmt::format(
               "must be {}, got {}",
               expected.empty() ? fmt::format("between {} and {}", range.min, range.max) : expected,
               Show(value)));
    return std::nullopt;
  }
  return negative ? ~magnitude + 1 : magnitude;
}

std::optional<uint64_t> FieldReader::ReadInteger(std::string_view name, const Limits& limits,
                                                 const IntegerRange& range) {
  const json* value = Find(name, limits.required);
  if (value == nullptr) return std::nullopt;
  return ToInteger(*value, JoinPath(path_, name), limits, range);
}

std::optional<double> FieldReader::ToReal(const json& value, const std::string& path,
                                          const Limits& limits) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    FailAt(path, fmt::format("must be a finite number, got {}", Show(value)));
    return std::nullopt;
  }
  const double number = value.get<double>();
  if (!Within(number, limits)) {
    FailAt(path, fmt::format("must be {}, got {}", Expected(limits), Show(value)));
    return std::nullopt;
  }
  return number;
}

std::optional<std::string> FieldReader::ToText(const json& value, const std::string& path,
                                               const TextLimits& limits) {
  if (!value.is_string()) {
    FailAt(path, fmt::format("must be text, got {}", Show(value)));
    return std::nullopt;
  }
  const std::string& text = value.get_ref<const std::string&>();
  if (text.size() < limits.min || text.size() > limits.max) {
    FailAt(path, limits.min == 1 && text.empty()
                     ? "must not be empty"
                     : fmt::format("must be between {} and {} bytes long, got {}", limits.min,
                                   limits.max, text.size()));
    return std::nullopt;
  }
  return text;
}

void FieldReader::Real(std::string_view name, double& out, const Limits& limits) {
  if (const json* value = Find(name, limits.required)) {
    if (const auto number = ToReal(*value, JoinPath(path_, name), limits)) out = *number;
  }
}

void FieldReader::Bool(std::string_view name, bool& out, Presence presence) {
  const json* value = Find(name, presence == Presence::kRequired);
  if (value == nullptr) return;
  if (!value->is_boolean()) {
    Fail(name, fmt::format("must be true or false, got {}", Show(*value)));
    return;
  }
  out = value->get<bool>();
}

void FieldReader::Text(std::string_view name, std::string& out, const TextLimits& limits) {
  if (const json* value = Find(name, limits.required)) {
    if (auto text = ToText(*value, JoinPath(path_, name), limits)) out = *std::move(text);
  }
}

bool FieldReader::ReadChoice(std::string_view name, std::string& out, Presence presence) {
  const json* value = Find(name, presence == Presence::kRequired);
  if (value == nullptr) return false;
  auto text = ToText(*value, JoinPath(path_, name), {});
  if (!text) return false;
  out = *std::move(text);
  return true;
}

void FieldReader::FailChoice(std::string_view name, std::string_view got,
                             const std::vector<std::string_view>& choices) {
  Fail(name, fmt::format("must be one of {}, got {}", fmt::join(choices, ", "),
                         Show(json(std::string(got)))));
}

const json* FieldReader::FindList(std::string_view name, const ListLimits& limits) {
  const json* value = Find(name, limits.required);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    Fail(name, fmt::format("must be a list, got {}", Show(*value)));
    return nullptr;
  }
  if (value->size() < limits.min || value->size() > limits.max) {
    Fail(name, fmt::format("must hold between {} and {} items, got {}", limits.min, limits.max,
                           value->size()));
    return nullptr;
  }
  return value;
}

void FieldReader::Ints(std::string_view name, std::vector<int64_t>& out, const Limits& each,
                       const ListLimits& limits) {
  const json* list = FindList(name, limits);
  if (list == nullptr) return;
  out.clear();
  for (const json& item : *list) {
    const auto value = ToInteger(item, JoinPath(JoinPath(path_, name), out.size()), each,
                                 IntegerRange::Of<int64_t>());
    out.push_back(static_cast<int64_t>(value.value_or(0)));
  }
}

void FieldReader::Reals(std::string_view name, std::vector<double>& out, const Limits& each,
                        const ListLimits& limits) {
  const json* list = FindList(name, limits);
  if (list == nullptr) return;
  out.clear();
  for (const json& item : *list) {
    out.push_back(ToReal(item, JoinPath(JoinPath(path_, name), out.size()), each).value_or(0));
  }
}

void FieldReader::Texts(std::string_view name, std::vector<std::string>& out,
                        const TextLimits& each, const ListLimits& limits) {
  const json* list = FindList(name, limits);
  if (list == nullptr) return;
  out.clear();
  for (const json& item : *list) {
    out.push_back(ToText(item, JoinPath(JoinPath(path_, name), out.size()), each).value_or(""));
  }
}

const json* FieldReader::FindObject(std::string_view name, Presence presence) {
  return Find(name, presence == Presence::kRequired);
}

std::optional<std::vector<const json*>> FieldReader::FindObjects(std::string_view name,
                                                                 const ListLimits& limits) {
  const json* list = FindList(name, limits);
  if (list == nullptr) return std::nullopt;
  std::vector<const json*> items;
  for (const json& item : *list) items.push_back(&item);
  return items;
}

void FieldReader::Raw(std::string_view name, json& out, Presence presence) {
  if (const json* value = Find(name, presence == Presence::kRequired)) out = *value;
}

void FieldReader::CheckUnknown() {
  std::vector<std::string_view> names(known_.begin(), known_.end());
  for (const auto& [key, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string shown = key.size() > kMaxShownText ? key.substr(0, kMaxShownText) : key;
    const std::string_view nearest = NearestName(key, names);
    Fail(shown, nearest.empty()
                    ? fmt::format("is not a known field; known are {}", fmt::join(names, ", "))
                    : fmt::format("is not a known field; did you mean {}?", nearest));
    if (errors_->size() > kMaxErrors) return;
  }
}

absl::Status FieldReader::Done() {
  CheckUnknown();
  if (errors_->empty()) return absl::OkStatus();
  const auto& [path, problem] = errors_->front();
  std::string text = problem;
  for (size_t i = 1; i < errors_->size() && i < kMaxErrors; ++i) {
    text += fmt::format("; {}: {}", (*errors_)[i].first, (*errors_)[i].second);
  }
  if (errors_->size() > kMaxErrors) {
    text += fmt::format("; and {} more", errors_->size() - kMaxErrors);
  }
  return InvalidField(path, text);
}

}  // namespace slipway
