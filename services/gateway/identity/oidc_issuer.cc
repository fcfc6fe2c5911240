#include "services/gateway/identity/oidc_issuer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/crypto/hash.h"
#include "common/fields/json.h"
#include "common/files/files.h"
#include "common/http/client/client.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {
namespace {

using nlohmann::json;

constexpr absl::Duration kFetchTimeout = absl::Seconds(5);
constexpr uint64_t kMaxDocument = 256 << 10;
// Rows hold so much of who called, as <name>:<subject>.
constexpr size_t kMaxName = 24;
constexpr size_t kMaxSubject = 48;

constexpr std::pair<std::string_view, Role> kRoles[] = {{"viewer", Role::kViewer},
                                                        {"caller", Role::kCaller},
                                                        {"developer", Role::kDeveloper},
                                                        {"owner", Role::kOwner},
                                                        {"operator", Role::kOperator}};

Role RoleOf(std::string_view name) {
  for (const auto& [known, role] : kRoles) {
    if (known == name) return role;
  }
  return Role::kNone;
}

// "https://host:port" and "/path?query".
std::pair<std::string, std::string> Split(const std::string& url) {
  const size_t slash = url.find('/', url.find("://") + 3);
  if (slash == std::string::npos) return {url, "/"};
  return {url.substr(0, slash), url.substr(slash)};
}

// What comes over the network in the clear could be anybody's.
bool IsSafeUrl(std::string_view url) {
  if (url.starts_with("https://")) return true;
  for (const std::string_view own : {"http://127.0.0.1", "http://[::1]", "http://localhost"}) {
    if (!url.starts_with(own)) continue;
    const std::string_view rest = url.substr(own.size());
    if (rest.empty() || rest.front() == ':' || rest.front() == '/') return true;
  }
  return false;
}

// Other subjects than short printable ones are shown by their digest.
std::string ShowSubject(std::string subject) {
  const bool shown =
      subject.size() <= kMaxSubject &&
      std::all_of(subject.begin(), subject.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return shown ? std::move(subject) : Sha256Hex(subject).substr(0, kMaxSubject);
}

bool Fits(const json& claim, std::string_view wanted) {
  if (claim.is_array()) {
    return std::any_of(claim.begin(), claim.end(),
                       [&](const json& item) { return item.is_string() && Fits(item, wanted); });
  }
  if (!claim.is_string()) return false;
  const std::string& text = claim.get_ref<const std::string&>();
  if (!wanted.ends_with('*')) return text == wanted;
  return text.starts_with(wanted.substr(0, wanted.size() - 1));
}

const json* FindClaim(const json& claims, const std::string& name) {
  if (!name.starts_with('/')) {
    const auto found = claims.find(name);
    return found == claims.end() ? nullptr : &*found;
  }
  const json* at = &claims;
  for (size_t begin = 1; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    if (!at->is_object()) return nullptr;
    const auto found = at->find(name.substr(begin, end - begin));
    if (found == at->end()) return nullptr;
    at = &*found;
    begin = end + 1;
  }
  return at;
}

bool HasAudience(const json& claims, std::string_view audience) {
  const json* claim = FindClaim(claims, "aud");
  if (claim == nullptr) return false;
  if (claim->is_string()) return claim->get_ref<const std::string&>() == audience;
  return claim->is_array() && std::any_of(claim->begin(), claim->end(), [&](const json& item) {
           return item.is_string() && item.get_ref<const std::string&>() == audience;
         });
}

// Seconds since 1970, perhaps with a fraction. Nothing where the claim is no such number.
std::optional<absl::Time> TimeOf(const json& claims, const char* name) {
  const json* claim = FindClaim(claims, name);
  if (claim == nullptr || !claim->is_number()) return std::nullopt;
  const double seconds = claim->get<double>();
  if (seconds < 0 || seconds > 1e11) return std::nullopt;
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

absl::Status Refused(std::string_view why) {
  return absl::UnauthenticatedError(fmt::format("the bearer token {}", why));
}

absl::Status NotYet() {
  return absl::UnavailableError("bearer tokens cannot be checked at the moment; try again");
}

}  // namespace

absl::Status OidcIssuerConfig::Check() const {
  RETURN_IF_ERROR(CheckSlug("oidc.name", name));
  if (name.size() > kMaxName) {
    return InvalidField("oidc.name", fmt::format("must have at most {} bytes", kMaxName));
  }
  if (!IsSafeUrl(issuer)) {
    return InvalidField("oidc.issuer", "must begin with https://, or http:// and this machine");
  }
  if (!jwks_url.empty() && !IsSafeUrl(jwks_url)) {
    return InvalidField("oidc.jwks_url", "must begin with https://, or http:// and this machine");
  }
  if (audience.empty()) return InvalidField("oidc.audience", "must be given");
  if (algorithms.empty()) return InvalidField("oidc.algorithms", "must be given");
  for (const std::string& algorithm : algorithms) {
    if (!IsSignatureAlgorithm(algorithm)) {
      return InvalidField("oidc.algorithms",
                          fmt::format("{} is none by public key that is known here", algorithm));
    }
  }
  for (const OidcRuleConfig& rule : rules) {
    if (rule.value.empty()) return InvalidField("oidc.rules.value", "must be given");
    if (rule.claim.empty()) return InvalidField("oidc.rules.claim", "must be given");
    if (rule.role == "operator") {
      if (!rule.tenant.empty())
        return InvalidField("oidc.rules.tenant", "is none of an operator's");
    } else {
      RETURN_IF_ERROR(CheckSlug("oidc.rules.tenant", rule.tenant));
    }
    if (!rule.project.empty()) RETURN_IF_ERROR(CheckSlug("oidc.rules.project", rule.project));
  }
  return absl::OkStatus();
}

OidcIssuer::OidcIssuer(const OidcIssuerConfig& config, const Clock& clock)
    : config_(config), clock_(clock) {}

absl::StatusOr<OidcIssuer::Keys> OidcIssuer::UsableKeys() const {
  MutexLock lock(mutex_);
  if (keys_.keys == nullptr || clock_.Monotonic() - keys_.read_at > config_.stale) return NotYet();
  return keys_;
}

absl::StatusOr<json> OidcIssuer::VerifiedClaims(const Keys& keys, std::string_view token) {
  absl::StatusOr<json> claims = keys.keys->Verify(token, config_.algorithms);
  if (!absl::IsNotFound(claims.status())) return claims;
  // A key of that name may have come since. Whoever makes names up is told so as soon as the keys
  // have been read again, which they are not more often than that.
  MutexLock lock(mutex_);
  if (clock_.Monotonic() - keys_.tried_at < config_.min_refresh) {
    return absl::UnauthenticatedError(std::string(claims.status().message()));
  }
  keys_.wanted = true;
  return NotYet();
}

absl::StatusOr<OidcIssuer::Grant> OidcIssuer::Check(std::string_view token) {
  ASSIGN_OR_RETURN(const Keys keys, UsableKeys());
  ASSIGN_OR_RETURN(const json claims, VerifiedClaims(keys, token));
  const json* issuer = FindClaim(claims, "iss");
  if (issuer == nullptr || *issuer != config_.issuer) return Refused("is of another issuer");
  if (!HasAudience(claims, config_.audience)) return Refused("is for another audience");
  const auto expires = TimeOf(claims, "exp");
  if (!expires) return Refused("says no time of its end");
  const auto not_before = TimeOf(claims, "nbf");
  if (!not_before && claims.contains("nbf")) return Refused("says no time of its beginning");
  ASSIGN_OR_RETURN(Grant grant, GrantFor(claims));
  grant.expires = *expires + config_.clock_skew;
  grant.not_before = not_before.value_or(absl::InfinitePast()) - config_.clock_skew;
  grant.generation = keys.generation;
  RETURN_IF_ERROR(CheckTimes(grant));
  return grant;
}

absl::StatusOr<OidcIssuer::Grant> OidcIssuer::GrantFor(const json& claims) const {
  const json* subject = FindClaim(claims, "sub");
  if (subject == nullptr || !subject->is_string() || *subject == "") {
    return Refused("names nobody");
  }
  for (const OidcRuleConfig& rule : config_.rules) {
    const json* claim = FindClaim(claims, rule.claim);
    if (claim == nullptr || !Fits(*claim, rule.value)) continue;
    auto key = std::make_shared<KnownKey>();
    key->record.id = fmt::format("{}:{}", config_.name, ShowSubject(subject->get<std::string>()));
    key->record.tenant = rule.tenant;
    key->record.role = RoleOf(rule.role);
    if (!rule.tenant.empty()) {
      key->record.project = rule.project.empty() ? kDefaultProject : rule.project;
    }
    key->principal.tenant = rule.tenant;
    key->principal.key_id = key->record.id;
    key->principal.role = key->record.role;
    return Grant{.key = std::move(key), .not_before = {}, .expires = {}, .generation = 0};
  }
  return absl::PermissionDeniedError("no rule gives this bearer token a role here");
}

absl::Status OidcIssuer::StillHolds(const Grant& grant) const {
  {
    MutexLock lock(mutex_);
    if (clock_.Monotonic() - keys_.read_at > config_.stale) return NotYet();
    // Its key may be one that was taken away: to be checked anew.
    if (grant.generation != keys_.generation) return NotYet();
  }
  return CheckTimes(grant);
}

absl::Status OidcIssuer::CheckTimes(const Grant& grant) const {
  const absl::Time now = clock_.Now();
  if (now >= grant.expires) return Refused("has expired");
  if (now < grant.not_before) return Refused("is not valid yet");
  return absl::OkStatus();
}

absl::StatusOr<std::string> OidcIssuer::Fetch(const std::string& url) const {
  if (!IsSafeUrl(url)) {
    return absl::InvalidArgumentError(fmt::format("{} is not https", url));
  }
  const auto [base, target] = Split(url);
  http::ClientOptions options;
  options.timeout = kFetchTimeout;
  options.ca_file = config_.ca_file;
  if (!config_.token_file.empty()) {
    ASSIGN_OR_RETURN(std::string token, ReadFile(config_.token_file, 64 << 10));
    token.erase(token.find_last_not_of(" \r\n") + 1);
    options.headers.Add("authorization", "Bearer " + token);
  }
  ASSIGN_OR_RETURN(const http::Client client, http::Client::Create(base, std::move(options)));
  http::Request request;
  request.target = target;
  ASSIGN_OR_RETURN(http::Response response, client.Send(request, kMaxDocument));
  if (response.status != 200) {
    return absl::UnavailableError(fmt::format("{} answered {}", url, response.status));
  }
  return std::move(response.body);
}

absl::Status OidcIssuer::ReadKeys() {
  {
    MutexLock lock(mutex_);
    keys_.tried_at = clock_.Monotonic();
    keys_.wanted = false;
  }
  std::string url = config_.jwks_url;
  if (url.empty()) {
    ASSIGN_OR_RETURN(const std::string text,
                     Fetch(config_.issuer + "/.well-known/openid-configuration"));
    ASSIGN_OR_RETURN(const json document, ParseJson(text, ""));
    if (!document.is_object() || document.value("issuer", json()) != config_.issuer ||
        !document.value("jwks_uri", json()).is_string()) {
      return absl::InvalidArgumentError(
          fmt::format("the discovery document of {} is not its own", config_.issuer));
    }
    url = document["jwks_uri"].get<std::string>();
  }
  const absl::Duration now = clock_.Monotonic();
  ASSIGN_OR_RETURN(const std::string text, Fetch(url));
  ASSIGN_OR_RETURN(JsonWebKeys keys, JsonWebKeys::Parse(text));
  MutexLock lock(mutex_);
  keys_.keys = std::make_shared<const JsonWebKeys>(std::move(keys));
  ++keys_.generation;
  keys_.read_at = now;
  return absl::OkStatus();
}

bool OidcIssuer::wants_keys() const {
  MutexLock lock(mutex_);
  const absl::Duration now = clock_.Monotonic();
  if (now - keys_.tried_at < config_.min_refresh) return false;
  const bool failed = keys_.read_at < keys_.tried_at;
  return keys_.wanted || failed || now - keys_.tried_at >= config_.refresh;
}

}  // namespace slipway::gateway
