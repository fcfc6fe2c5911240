#include "services/gateway/identity/pepper.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "common/crypto/encoding.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"
#include "common/files/files.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

constexpr size_t kMinBytes = 32;

absl::Status Wrong(const std::string& path, std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format("pepper file {}: {}", path, problem));
}

}  // namespace

absl::StatusOr<Peppers> Peppers::Load(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return FromErrno(errno, "cannot read", path);
  if ((info.st_mode & 0007) != 0) return Wrong(path, "other users may read or write it");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 64 << 10));
  const Secret wiped(text);  // the views below are into it
  std::string_view rest = wiped.Reveal();
  Peppers peppers;
  for (int line_number = 1; !rest.empty(); ++line_number) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    line = line.substr(0, line.find('#'));
    const size_t last = line.find_last_not_of(" \t\r");
    if (last == std::string_view::npos) continue;
    line = line.substr(0, last + 1);
    int64_t version = 1;
    const size_t space = line.find(' ');
    bool good = true;
    if (space != std::string_view::npos) {
      const auto [after, error] = std::from_chars(line.data(), line.data() + space, version);
      good = error == std::errc() && after == line.data() + space && version >= 1;
      line.remove_prefix(space + 1);
    }
    const auto bytes = HexDecode(line);
    if (!good || !bytes || bytes->empty()) {
      return Wrong(path, fmt::format("line {} is not \"<number> <hex digits>\"", line_number));
    }
    if (bytes->size() < kMinBytes) {
      return Wrong(path, fmt::format("line {} has under {} bytes", line_number, kMinBytes));
    }
    if (!peppers.by_version_.emplace(version, HmacSha256Key(*bytes)).second) {
      return Wrong(path, fmt::format("version {} is there twice", version));
    }
  }
  if (peppers.by_version_.empty()) return Wrong(path, "holds no pepper");
  return peppers;
}

absl::Status Peppers::Create(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    return absl::AlreadyExistsError(fmt::format("{} is there already", path));
  }
  return WriteFileAtomically(path, fmt::format("1 {}\n", RandomHex(kMinBytes)), 0600);
}

std::optional<Sha256Bytes> Peppers::Mac(int64_t version, std::string_view key_text) const {
  const auto pepper = by_version_.find(version);
  if (pepper == by_version_.end()) return std::nullopt;
  return pepper->second.Of(key_text);
}

}  // namespace slipway::gateway
