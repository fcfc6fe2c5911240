#include <string>
#include <string_view>
#include <vector>

#include "common/metrics/metrics.h"
#include "fmt/format.h"

namespace slipway {
namespace {

// A metric as several services have it.
struct Family {
  std::string help;  // whole lines
  std::string type;
  std::string samples;
};

size_t NameLength(std::string_view line) {
  size_t length = 0;
  while (length < line.size()) {
    const char c = line[length];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
    if (!letter && !(length > 0 && c >= '0' && c <= '9')) break;
    ++length;
  }
  return length;
}

// The name in "# HELP name text" or "# TYPE name kind", or "" for any other comment.
std::string_view Described(std::string_view line, std::string_view keyword) {
  if (!line.starts_with(keyword)) return "";
  line.remove_prefix(keyword.size());
  return line.substr(0, NameLength(line));
}

// True for a name that belongs to the metric `family`: a histogram has three kinds of samples.
bool BelongsTo(std::string_view name, std::string_view family) {
  if (family.empty() || !name.starts_with(family)) return false;
  const std::string_view end = name.substr(family.size());
  return end.empty() || end == "_bucket" || end == "_sum" || end == "_count";
}

// `name{a="b"} 1` with the service's label put first; "" for what is no sample.
std::string WithService(std::string_view line, std::string_view service) {
  const size_t length = NameLength(line);
  if (length == 0 || length == line.size()) return "";
  const std::string_view name = line.substr(0, length);
  std::string_view rest = line.substr(length);
  if (rest[0] == ' ') return fmt::format("{}{{service=\"{}\"}}{}\n", name, service, rest);
  if (rest[0] != '{') return "";
  rest.remove_prefix(1);
  return fmt::format("{}{{service=\"{}\"{}{}\n", name, service, rest.starts_with('}') ? "" : ",",
                     rest);
}

}  // namespace

std::string MergeMetrics(const std::map<std::string, std::string>& text_by_service) {
  std::map<std::string, Family, std::less<>> families;
  for (const auto& [service, text] : text_by_service) {
    std::string current;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (const std::string_view helped = Described(line, "# HELP "); !helped.empty()) {
        current = helped;
        if (families[current].help.empty()) families[current].help = fmt::format("{}\n", line);
      } else if (const std::string_view typed = Described(line, "# TYPE "); !typed.empty()) {
        current = typed;
        if (families[current].type.empty()) families[current].type = fmt::format("{}\n", line);
      } else if (const std::string sample = WithService(line, service); !sample.empty()) {
        const std::string_view name = line.substr(0, NameLength(line));
        if (!BelongsTo(name, current)) current = name;
        families[current].samples += sample;
      }
    }
  }
  std::string merged;
  for (const auto& [name, family] : families) {
    if (!family.samples.empty()) merged += family.help + family.type + family.samples;
  }
  return merged;
}

}  // namespace slipway
