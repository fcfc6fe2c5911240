#include "common/jose/json_web_keys.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "cjose/cjose.h"
#include "common/crypto/encoding.h"
#include "common/fields/json.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokenBytes = 8192;
constexpr DocumentLimits kClaimsLimits = {.bytes = kMaxTokenBytes, .depth = 8, .values = 1000};
constexpr DocumentLimits kSetLimits = {.bytes = 256 << 10, .depth = 8, .values = 10'000};
constexpr size_t kMaxKeys = 100;
constexpr size_t kMinRsaBits = 2048;

struct Algorithm {
  std::string_view name;
  cjose_jwk_kty_t type;
  cjose_jwk_ec_curve curve;  // of EC
};
constexpr Algorithm kAlgorithms[] = {
    {"RS256", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"RS384", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"RS512", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"PS256", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"PS384", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"PS512", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID},
    {"ES256", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_256},
    {"ES384", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_384},
    {"ES512", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_521},
};

const Algorithm* FindAlgorithm(std::string_view name) {
  const auto found = std::find_if(std::begin(kAlgorithms), std::end(kAlgorithms),
                                  [&](const Algorithm& each) { return each.name == name; });
  return found == std::end(kAlgorithms) ? nullptr : found;
}

struct Release {
  void operator()(cjose_jwk_t* key) const { cjose_jwk_release(key); }
  void operator()(cjose_jws_t* token) const { cjose_jws_release(token); }
  void operator()(char* text) const { std::free(text); }
};
using KeyPtr = std::unique_ptr<cjose_jwk_t, Release>;
using TokenPtr = std::unique_ptr<cjose_jws_t, Release>;

absl::Status NoToken() { return absl::UnauthenticatedError("the bearer token is malformed"); }

std::string TextOf(const json& object, const char* name) {
  const auto field = object.find(name);
  return field != object.end() && field->is_string() ? field->get<std::string>() : "";
}

// Null for a key that is of no use here.
KeyPtr ImportKey(const json& object) {
  const std::string use = TextOf(object, "use");
  const std::string type = TextOf(object, "kty");
  if ((!use.empty() && use != "sig") || (type != "RSA" && type != "EC")) return nullptr;
  const std::string text = object.dump();
  cjose_err error;
  KeyPtr key(cjose_jwk_import(text.data(), text.size(), &error));
  if (key == nullptr) return nullptr;
  if (type == "RSA" && cjose_jwk_get_keysize(key.get(), &error) < kMinRsaBits) return nullptr;
  return key;
}

absl::StatusOr<json> ParseObject(std::string_view text) {
  absl::StatusOr<json> object = ParseJson(text, "", kClaimsLimits);
  if (!object.ok() || !object->is_object()) return NoToken();
  return object;
}

}  // namespace

struct JsonWebKeys::Impl {
  struct Key {
    std::string id;
    std::string algorithm;  // the only one it is for; empty: any of its type
    KeyPtr key;
  };

  const Key* Find(const json& head) const {
    const std::string id = TextOf(head, "kid");
    if (id.empty() && !head.contains("kid")) return keys.size() == 1 ? &keys.front() : nullptr;
    const auto found =
        std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.id == id; });
    return found == keys.end() ? nullptr : &*found;
  }

  std::vector<Key> keys;
  // cjose's keys are not made for two threads at once.
  mutable Mutex mutex;
};

bool IsSignatureAlgorithm(std::string_view name) { return FindAlgorithm(name) != nullptr; }

bool LooksLikeToken(std::string_view text) {
  if (text.size() > kMaxTokenBytes || !text.starts_with("eyJ")) return false;
  return std::count(text.begin(), text.end(), '.') == 2;
}

absl::StatusOr<json> UncheckedClaims(std::string_view token) {
  if (!LooksLikeToken(token)) return NoToken();
  const size_t first = token.find('.');
  const size_t second = token.rfind('.');
  const auto claims = Base64UrlDecode(token.substr(first + 1, second - first - 1));
  if (!claims) return NoToken();
  return ParseObject(*claims);
}

absl::StatusOr<JsonWebKeys> JsonWebKeys::Parse(std::string_view text) {
  ASSIGN_OR_RETURN(const json set, ParseJson(text, "", kSetLimits));
  const auto list = set.is_object() ? set.find("keys") : set.end();
  if (!set.is_object() || list == set.end() || !list->is_array() || list->size() > kMaxKeys) {
    return absl::InvalidArgumentError("this is no set of keys");
  }
  auto impl = std::make_unique<Impl>();
  for (const json& object : *list) {
    if (!object.is_object()) continue;
    KeyPtr key = ImportKey(object);
    if (key == nullptr) continue;
    impl->keys.push_back({TextOf(object, "kid"), TextOf(object, "alg"), std::move(key)});
  }
  if (impl->keys.empty()) {
    return absl::InvalidArgumentError("the set has no key that signatures can be checked by");
  }
  return JsonWebKeys(std::move(impl));
}

JsonWebKeys::JsonWebKeys(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JsonWebKeys::JsonWebKeys(JsonWebKeys&&) noexcept = default;
JsonWebKeys& JsonWebKeys::operator=(JsonWebKeys&&) noexcept = default;
JsonWebKeys::~JsonWebKeys() = default;

absl::StatusOr<json> JsonWebKeys::Verify(std::string_view token,
                                         const std::vector<std::string>& algorithms) const {
  if (!LooksLikeToken(token)) return NoToken();
  const auto head_text = Base64UrlDecode(token.substr(0, token.find('.')));
  if (!head_text) return NoToken();
  ASSIGN_OR_RETURN(const json head, ParseObject(*head_text));
  const std::string name = TextOf(head, "alg");
  const Algorithm* algorithm = FindAlgorithm(name);
  if (algorithm == nullptr ||
      std::find(algorithms.begin(), algorithms.end(), name) == algorithms.end()) {
    return absl::UnauthenticatedError("the bearer token is signed by an algorithm not taken here");
  }
  // What must be understood and is not (RFC 7515, 4.1.11).
  if (head.contains("crit")) return NoToken();
  const Impl::Key* key = impl_->Find(head);
  if (key == nullptr) {
    return absl::NotFoundError("the bearer token is signed by a key that its issuer does not show");
  }
  const absl::Status forged = absl::UnauthenticatedError("the bearer token's signature is wrong");
  cjose_err error;
  MutexLock lock(impl_->mutex);
  const bool fits = cjose_jwk_get_kty(key->key.get(), &error) == algorithm->type &&
                    (algorithm->type != CJOSE_JWK_KTY_EC ||
                     cjose_jwk_EC_get_curve(key->key.get(), &error) == algorithm->curve) &&
                    (key->algorithm.empty() || key->algorithm == name);
  if (!fits) return forged;
  const TokenPtr parsed(cjose_jws_import(token.data(), token.size(), &error));
  if (parsed == nullptr) return NoToken();
  // Both parsers have read one head.
  const char* const seen =
      cjose_header_get(cjose_jws_get_protected(parsed.get()), CJOSE_HDR_ALG, &error);
  if (seen == nullptr || name != seen) return NoToken();
  if (!cjose_jws_verify(parsed.get(), key->key.get(), &error)) return forged;
  uint8_t* claims = nullptr;  // the token's own
  size_t size = 0;
  if (!cjose_jws_get_plaintext(parsed.get(), &claims, &size, &error)) return NoToken();
  return ParseObject({reinterpret_cast<const char*>(claims), size});
}

}  // namespace slipway
