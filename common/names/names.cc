#include "common/names/names.h"

#include <charconv>
#include <optional>
#include <vector>

#include "fmt/format.h"

namespace slipway {
namespace {

// Longer names are refused before they are looked at or echoed.
constexpr size_t kMaxNameLength = 512;

constexpr std::string_view kSlugRule =
    "must be 1 to 63 lower-case letters, digits and '-', start with a letter and not end with '-'";

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Quoted(std::string_view text) {
  return text.size() <= 80 ? fmt::format("\"{}\"", text)
                           : fmt::format("\"{}...\" ({} bytes)", text.substr(0, 80), text.size());
}

absl::Status Malformed(std::string_view field, std::string_view pattern, std::string_view name) {
  return InvalidField(field, fmt::format("must look like {}, got {}", pattern, Quoted(name)));
}

std::vector<std::string_view> Segments(std::string_view name) {
  std::vector<std::string_view> segments;
  for (;;) {
    const size_t slash = name.find('/');
    segments.push_back(name.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    name.remove_prefix(slash + 1);
  }
}

// The parts of `name` that stand where `pattern` has "*", or nothing where it does not fit.
std::optional<std::vector<std::string_view>> Match(std::string_view name,
                                                   std::string_view pattern) {
  if (name.size() > kMaxNameLength) return std::nullopt;
  const std::vector<std::string_view> have = Segments(name);
  const std::vector<std::string_view> want = Segments(pattern);
  if (have.size() != want.size()) return std::nullopt;
  std::vector<std::string_view> ids;
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i] == "*") {
      ids.push_back(have[i]);
    } else if (have[i] != want[i]) {
      return std::nullopt;
    }
  }
  return ids;
}

}  // namespace

bool IsSlug(std::string_view id) {
  if (id.empty() || id.size() > 63 || !IsLower(id.front()) || id.back() == '-') return false;
  for (const char c : id) {
    if (!IsLower(c) && !IsDigit(c) && c != '-') return false;
  }
  return true;
}

absl::Status CheckSlug(std::string_view field, std::string_view id) {
  if (IsSlug(id)) return absl::OkStatus();
  return InvalidField(field, fmt::format("{}, got {}", kSlugRule, Quoted(id)));
}

absl::StatusOr<Digest> Digest::Parse(std::string_view field, std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  bool good = text.size() == kPrefix.size() + 64 && text.substr(0, kPrefix.size()) == kPrefix;
  if (good) {
    for (const char c : text.substr(kPrefix.size())) {
      good = good && (IsDigit(c) || (c >= 'a' && c <= 'f'));
    }
  }
  if (!good) return Malformed(field, "sha256:<64 lower-case hex digits>", text);
  return Digest(std::string(text.substr(kPrefix.size())));
}

absl::StatusOr<TenantName> TenantName::Parse(std::string_view field, std::string_view name) {
  const auto ids = Match(name, "tenants/*");
  if (!ids) return Malformed(field, "tenants/{tenant}", name);
  RETURN_IF_ERROR(CheckSlug(field, (*ids)[0]));
  return TenantName{std::string((*ids)[0])};
}

std::string TenantName::ToString() const { return fmt::format("tenants/{}", tenant); }

std::string_view TenantIn(std::string_view name) {
  constexpr std::string_view kPrefix = "tenants/";
  if (!name.starts_with(kPrefix)) return "";
  name.remove_prefix(kPrefix.size());
  return name.substr(0, name.find('/'));
}

template <class Collection>
absl::StatusOr<ChildName<Collection>> ChildName<Collection>::Parse(std::string_view field,
                                                                   std::string_view name) {
  const auto ids = Match(name, fmt::format("tenants/*/{}/*", Collection::kCollection));
  if (!ids) {
    return Malformed(field, fmt::format("tenants/{{tenant}}/{}/{{id}}", Collection::kCollection),
                     name);
  }
  RETURN_IF_ERROR(CheckSlug(field, (*ids)[0]));
  RETURN_IF_ERROR(CheckSlug(field, (*ids)[1]));
  return ChildName{std::string((*ids)[0]), std::string((*ids)[1])};
}

template <class Collection>
std::string ChildName<Collection>::ToString() const {
  return fmt::format("tenants/{}/{}/{}", tenant, Collection::kCollection, id);
}

template struct ChildName<ModelCollection>;
template struct ChildName<DatasetCollection>;
template struct ChildName<JobCollection>;
template struct ChildName<DeploymentCollection>;
template struct ChildName<KeyCollection>;
template struct ChildName<ProjectCollection>;
template struct ChildName<BatchCollection>;

absl::StatusOr<VersionName> VersionName::Parse(std::string_view field, std::string_view name) {
  constexpr std::string_view kPattern = "tenants/{tenant}/models/{model}/versions/{number}";
  const auto ids = Match(name, "tenants/*/models/*/versions/*");
  if (!ids) return Malformed(field, kPattern, name);
  RETURN_IF_ERROR(CheckSlug(field, (*ids)[0]));
  RETURN_IF_ERROR(CheckSlug(field, (*ids)[1]));
  const std::string_view digits = (*ids)[2];
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 1 ||
      digits.front() == '0') {
    return Malformed(field, kPattern, name);
  }
  return VersionName{{std::string((*ids)[0]), std::string((*ids)[1])}, number};
}

std::string VersionName::ToString() const {
  return fmt::format("{}/versions/{}", model.ToString(), number);
}

absl::StatusOr<AliasName> AliasName::Parse(std::string_view field, std::string_view name) {
  const auto ids = Match(name, "tenants/*/models/*/aliases/*");
  if (!ids) return Malformed(field, "tenants/{tenant}/models/{model}/aliases/{alias}", name);
  for (const std::string_view id : *ids) RETURN_IF_ERROR(CheckSlug(field, id));
  return AliasName{{std::string((*ids)[0]), std::string((*ids)[1])}, std::string((*ids)[2])};
}

std::string AliasName::ToString() const {
  return fmt::format("{}/aliases/{}", model.ToString(), alias);
}

absl::StatusOr<BlobName> BlobName::Parse(std::string_view field, std::string_view name) {
  const auto ids = Match(name, "tenants/*/blobs/*");
  if (!ids) return Malformed(field, "tenants/{tenant}/blobs/sha256:{hex}", name);
  RETURN_IF_ERROR(CheckSlug(field, (*ids)[0]));
  ASSIGN_OR_RETURN(Digest digest, Digest::Parse(field, (*ids)[1]));
  return BlobName{std::string((*ids)[0]), std::move(digest)};
}

std::string BlobName::ToString() const {
  return fmt::format("tenants/{}/blobs/{}", tenant, digest.ToString());
}

}  // namespace slipway
