#include "services/gateway/api/path_template.h"

#include <algorithm>

#include "common/http/uri.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

constexpr size_t kMaxSegments = 32;

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

absl::Status Malformed(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("path template \"{}\": {}", text, why));
}

// "tenants" names one "tenant", "auditRecords" one "auditRecord", "aliases" one "alias".
std::string Singular(std::string_view collection) {
  if (collection.ends_with("ses")) return std::string(collection.substr(0, collection.size() - 2));
  if (collection.ends_with('s')) return std::string(collection.substr(0, collection.size() - 1));
  return std::string(collection);
}

}  // namespace

absl::StatusOr<RequestPath> RequestPath::Parse(std::string_view path) {
  if (path.empty() || path.front() != '/') return absl::InvalidArgumentError("the path has no '/'");
  RequestPath parsed;
  const auto parts = Split(path.substr(1), '/');
  if (parts.size() > kMaxSegments) return absl::InvalidArgumentError("the path is too long");
  for (const std::string_view part : parts) {
    ASSIGN_OR_RETURN(std::string text, http::PercentDecode(part));
    parsed.segments_.push_back({std::string(part), std::move(text)});
  }
  return parsed;
}

absl::StatusOr<PathTemplate> PathTemplate::Parse(std::string_view text) {
  PathTemplate parsed;
  std::string_view rest = text;
  // A ':' inside braces would be part of a literal, so the verb is looked for behind them.
  const size_t close = rest.rfind('}');
  const size_t colon = rest.find(':', close == std::string_view::npos ? 0 : close);
  if (colon != std::string_view::npos) {
    parsed.verb_ = rest.substr(colon + 1);
    if (parsed.verb_.empty()) return Malformed(text, "the verb is empty");
    rest = rest.substr(0, colon);
  }
  if (rest.empty() || rest.front() != '/') return Malformed(text, "must start with '/'");
  rest.remove_prefix(1);

  const auto add_segments = [&](std::string_view segments) -> absl::Status {
    for (const std::string_view segment : Split(segments, '/')) {
      if (segment.empty()) return Malformed(text, "a segment is empty");
      if (segment != "*" && segment.find_first_of("*{}=") != std::string_view::npos) {
        return Malformed(text, fmt::format("segment \"{}\" is not supported", segment));
      }
      parsed.segments_.emplace_back(segment);
    }
    return absl::OkStatus();
  };

  while (!rest.empty()) {
    if (rest.front() == '{') {
      const size_t end = rest.find('}');
      if (end == std::string_view::npos) return Malformed(text, "a '{' is not closed");
      const std::string_view inside = rest.substr(1, end - 1);
      const size_t equals = inside.find('=');
      Variable variable;
      variable.field = inside.substr(0, equals);
      if (variable.field.empty()) return Malformed(text, "a variable has no field");
      variable.begin = parsed.segments_.size();
      RETURN_IF_ERROR(
          add_segments(equals == std::string_view::npos ? "*" : inside.substr(equals + 1)));
      variable.end = parsed.segments_.size();
      parsed.variables_.push_back(std::move(variable));
      rest.remove_prefix(end + 1);
      if (!rest.empty() && rest.front() != '/') return Malformed(text, "'/' must follow a '}'");
    } else {
      const size_t end = std::min(rest.find('/'), rest.size());
      RETURN_IF_ERROR(add_segments(rest.substr(0, end)));
      rest.remove_prefix(end);
    }
    if (rest.empty()) break;
    rest.remove_prefix(1);
    if (rest.empty()) return Malformed(text, "must not end with '/'");
  }
  if (parsed.segments_.empty()) return Malformed(text, "has no segments");
  return parsed;
}

std::optional<PathTemplate::Variables> PathTemplate::Match(const RequestPath& path) const {
  if (path.size() != segments_.size()) return std::nullopt;
  std::string last = path.segments_.back().text;
  if (!verb_.empty()) {
    // The verb's own colon is never encoded; an encoded one belongs to the name.
    const std::string suffix = ":" + verb_;
    if (!path.segments_.back().raw.ends_with(suffix)) return std::nullopt;
    last.resize(last.size() - suffix.size());
  }
  const auto segment = [&](size_t i) -> const std::string& {
    return i + 1 == segments_.size() ? last : path.segments_[i].text;
  };
  for (size_t i = 0; i < segments_.size(); ++i) {
    const std::string& text = segment(i);
    if (segments_[i] == "*") {
      if (text.empty() || text.find('/') != std::string::npos) return std::nullopt;
    } else if (text != segments_[i]) {
      return std::nullopt;
    }
  }
  Variables variables;
  for (const Variable& variable : variables_) {
    std::string text;
    for (size_t i = variable.begin; i < variable.end; ++i) {
      if (i > variable.begin) text += '/';
      text += segment(i);
    }
    variables.emplace_back(variable.field, std::move(text));
  }
  return variables;
}

bool PathTemplate::Fits(size_t variable, std::string_view text) const {
  const Variable& wanted = variables_[variable];
  const std::vector<std::string_view> parts = Split(text, '/');
  if (parts.size() != wanted.end - wanted.begin) return false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& segment = segments_[wanted.begin + i];
    if (segment == "*" ? parts[i].empty() : parts[i] != segment) return false;
  }
  return true;
}

std::string PathTemplate::Form(size_t variable) const {
  const Variable& wanted = variables_[variable];
  std::string form;
  for (size_t i = wanted.begin; i < wanted.end; ++i) {
    if (i > wanted.begin) form += '/';
    form += segments_[i];
  }
  return form;
}

std::string PathTemplate::Shape() const {
  std::string shape;
  for (const std::string& segment : segments_) shape += "/" + segment;
  return verb_.empty() ? shape : shape + ":" + verb_;
}

std::string PathTemplate::OpenApiPath() const {
  std::string path;
  for (size_t i = 0; i < segments_.size(); ++i) {
    path += '/';
    path += segments_[i] != "*" ? segments_[i]
                                : fmt::format("{{{}}}", i == 0 ? "id" : Singular(segments_[i - 1]));
  }
  return verb_.empty() ? path : path + ":" + verb_;
}

std::vector<std::string> PathTemplate::OpenApiNames() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i] == "*") names.push_back(i == 0 ? "id" : Singular(segments_[i - 1]));
  }
  return names;
}

}  // namespace slipway::gateway
