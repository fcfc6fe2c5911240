#include "common/names/file_path.h"

#include <algorithm>

#include "fmt/format.h"

namespace slipway {
namespace {

constexpr size_t kMaxBytes = 512;

bool IsPlain(unsigned char c) { return c >= 0x20 && c != 0x7f && c != '\\'; }

bool IsFilePath(std::string_view path) {
  if (path.size() > kMaxBytes || !std::all_of(path.begin(), path.end(), IsPlain)) return false;
  for (;;) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

absl::Status CheckFilePath(std::string_view field, std::string_view path) {
  if (IsFilePath(path)) return absl::OkStatus();
  return InvalidField(field, fmt::format("must be a relative path without empty, \".\" or \"..\" "
                                         "parts, '\\' or control characters, of at most {} bytes",
                                         kMaxBytes));
}

}  // namespace slipway
