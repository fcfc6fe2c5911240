#include "common/identity/token_text.h"

#include <optional>
#include <utility>

#include "common/crypto/encoding.h"
#include "slipway/identity/v1/token.pb.h"

namespace slipway {
namespace {

namespace pb = slipway::options::v1;
using slipway::identity::v1::PrincipalToken;

// The numbers go over as they are.
static_assert(static_cast<int>(ServiceId::kGateway) == pb::SERVICE_GATEWAY);
static_assert(static_cast<int>(ServiceId::kRegistry) == pb::SERVICE_REGISTRY);
static_assert(static_cast<int>(ServiceId::kTraining) == pb::SERVICE_TRAINING);
static_assert(static_cast<int>(ServiceId::kTrainer) == pb::SERVICE_TRAINER);
static_assert(static_cast<int>(ServiceId::kController) == pb::SERVICE_CONTROLLER);
static_assert(static_cast<int>(ServiceId::kWorker) == pb::SERVICE_WORKER);
static_assert(pb::Service_MAX == pb::SERVICE_WORKER);
static_assert(static_cast<int>(Role::kViewer) == pb::ROLE_VIEWER);
static_assert(static_cast<int>(Role::kCaller) == pb::ROLE_CALLER);
static_assert(static_cast<int>(Role::kDeveloper) == pb::ROLE_DEVELOPER);
static_assert(static_cast<int>(Role::kOwner) == pb::ROLE_OWNER);
static_assert(static_cast<int>(Role::kOperator) == pb::ROLE_OPERATOR);

// What else the keys may come to sign cannot be taken for a token.
constexpr std::string_view kContext("slipway-principal-v1\0", 21);

// Times beyond this are no times that anybody has issued, and would overflow sums.
constexpr int64_t kLastSecond = 253'402'300'799;  // the end of the year 9999

absl::Status NoToken() { return absl::UnauthenticatedError("the call's token is malformed"); }

bool IsService(pb::Service service) { return pb::Service_IsValid(service); }

bool IsPrincipalRole(pb::Role role) { return pb::Role_IsValid(role) && role != pb::ROLE_ANY; }

bool IsTime(int64_t seconds) { return seconds > 0 && seconds <= kLastSecond; }

}  // namespace

std::string WriteToken(const TokenClaims& claims, const Ed25519PrivateKey& key) {
  PrincipalToken token;
  token.set_issuer(static_cast<pb::Service>(claims.issuer));
  token.set_caller(static_cast<pb::Service>(claims.principal.caller));
  token.set_audience(static_cast<pb::Service>(claims.audience));
  token.set_tenant(claims.principal.tenant);
  token.set_key_id(claims.principal.key_id);
  token.set_role(static_cast<pb::Role>(claims.principal.role));
  for (const std::string& scope : claims.principal.scopes) token.add_scopes(scope);
  token.set_issued_unix_seconds(absl::ToUnixSeconds(claims.issued));
  token.set_expires_unix_seconds(absl::ToUnixSeconds(claims.expires));

  const std::string payload = token.SerializeAsString();
  const std::string signature = key.Sign(std::string(kContext) + payload);
  return Base64UrlEncode(payload) + "." + Base64UrlEncode(signature);
}

bool SplitToken::SignedBy(const Ed25519PublicKey& key) const {
  return key.Verify(std::string(kContext) + payload, signature);
}

absl::StatusOr<SplitToken> Split(std::string_view text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return NoToken();
  std::optional<std::string> payload = Base64UrlDecode(text.substr(0, dot));
  std::optional<std::string> signature = Base64UrlDecode(text.substr(dot + 1));
  if (!payload || !signature) return NoToken();
  return SplitToken{*std::move(payload), *std::move(signature)};
}

absl::StatusOr<TokenClaims> ParseClaims(const SplitToken& text) {
  PrincipalToken token;
  if (!token.ParseFromString(text.payload) || !IsService(token.issuer()) ||
      !IsService(token.caller()) || !IsService(token.audience()) ||
      !IsPrincipalRole(token.role()) || !IsTime(token.issued_unix_seconds()) ||
      !IsTime(token.expires_unix_seconds())) {
    return NoToken();
  }
  TokenClaims claims;
  claims.issuer = static_cast<ServiceId>(token.issuer());
  claims.audience = static_cast<ServiceId>(token.audience());
  claims.issued = absl::FromUnixSeconds(token.issued_unix_seconds());
  claims.expires = absl::FromUnixSeconds(token.expires_unix_seconds());
  claims.principal.caller = static_cast<ServiceId>(token.caller());
  claims.principal.tenant = std::move(*token.mutable_tenant());
  claims.principal.key_id = std::move(*token.mutable_key_id());
  claims.principal.role = static_cast<Role>(token.role());
  for (std::string& scope : *token.mutable_scopes()) {
    claims.principal.scopes.push_back(std::move(scope));
  }
  return claims;
}

}  // namespace slipway
