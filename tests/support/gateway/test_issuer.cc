#include "tests/support/gateway/test_issuer.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <utility>

#include "cjose/cjose.h"
#include "common/crypto/encoding.h"
#include "common/http/server/server.h"
#include "common/sync/mutex.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {
namespace {

using nlohmann::json;

struct Release {
  void operator()(cjose_jwk_t* key) const { cjose_jwk_release(key); }
};
using KeyPtr = std::unique_ptr<cjose_jwk_t, Release>;

std::string SignWith(const cjose_jwk_t* key, const json& claims, const std::string& algorithm,
                     const std::string& id) {
  cjose_err error{};
  cjose_header_t* head = cjose_header_new(&error);
  EXPECT_TRUE(cjose_header_set(head, CJOSE_HDR_ALG, algorithm.c_str(), &error));
  EXPECT_TRUE(cjose_header_set(head, CJOSE_HDR_KID, id.c_str(), &error));
  const std::string text = claims.dump();
  cjose_jws_t* token =
      cjose_jws_sign(key, head, reinterpret_cast<const uint8_t*>(text.data()), text.size(), &error);
  EXPECT_NE(token, nullptr) << error.message;
  const char* compact = nullptr;
  EXPECT_TRUE(cjose_jws_export(token, &compact, &error));
  std::string out = compact;
  cjose_jws_release(token);
  cjose_header_release(head);
  return out;
}

}  // namespace

struct TestSigner::Impl {
  struct Key {
    KeyPtr key;
    std::string algorithm;
  };
  std::map<std::string, Key> keys;
};

TestSigner::TestSigner() : impl_(std::make_unique<Impl>()) {}
TestSigner::~TestSigner() = default;

void TestSigner::NewKey(const std::string& id, const std::string& algorithm) {
  cjose_err error{};
  const uint8_t exponent[] = {1, 0, 1};
  KeyPtr key(algorithm == "ES256"
                 ? cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error)
                 : cjose_jwk_create_RSA_random(2048, exponent, sizeof(exponent), &error));
  ASSERT_NE(key, nullptr) << error.message;
  ASSERT_TRUE(cjose_jwk_set_kid(key.get(), id.data(), id.size(), &error));
  impl_->keys[id] = {std::move(key), algorithm};
}

void TestSigner::DropKey(const std::string& id) { impl_->keys.erase(id); }

std::string TestSigner::KeySet() const {
  json set = {{"keys", json::array()}};
  for (const auto& [id, key] : impl_->keys) {
    cjose_err error{};
    char* text = cjose_jwk_to_json(key.key.get(), /*priv=*/false, &error);
    set["keys"].push_back(json::parse(text));
    std::free(text);
  }
  return set.dump();
}

std::string TestSigner::Sign(const json& claims, const std::string& id,
                             const std::string& shown_id) const {
  const Impl::Key& key = impl_->keys.at(id);
  return SignWith(key.key.get(), claims, key.algorithm, shown_id.empty() ? id : shown_id);
}

std::string TestSigner::SignByNothing(const json& claims, const std::string& id) {
  const json head = {{"alg", "none"}, {"kid", id}};
  return Base64UrlEncode(head.dump()) + "." + Base64UrlEncode(claims.dump()) + ".";
}

std::string TestSigner::SignByPublicKey(const json& claims, const std::string& id) const {
  cjose_err error{};
  char* text = cjose_jwk_to_json(impl_->keys.at(id).key.get(), /*priv=*/false, &error);
  const std::string shown = text;
  std::free(text);
  const KeyPtr shared(cjose_jwk_create_oct_spec(reinterpret_cast<const uint8_t*>(shown.data()),
                                                shown.size(), &error));
  return SignWith(shared.get(), claims, "HS256", id);
}

class TestIssuer::Impl : public http::Handler {
 public:
  Impl() {
    auto server = http::Server::Start({}, *this);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    http::Response response;
    response.headers.Add("content-type", "application/json");
    const std::string_view path = exchange->head().path();
    if (away) {
      response.status = 503;
    } else if (path == "/.well-known/openid-configuration") {
      response.body = json{{"issuer", url()}, {"jwks_uri", url() + "/keys"}}.dump();
    } else if (path == "/keys") {
      ++reads;
      MutexLock lock(mutex);
      response.body = signer.KeySet();
    } else {
      response.status = 404;
    }
    exchange->Respond(std::move(response));
  }

  std::string url() const { return "http://" + server_->address(); }

  Mutex mutex;
  TestSigner signer;
  std::atomic<bool> away = false;
  std::atomic<int> reads = 0;

 private:
  std::unique_ptr<http::Server> server_;
};

TestIssuer::TestIssuer() : impl_(std::make_unique<Impl>()) {}
TestIssuer::~TestIssuer() = default;
TestSigner& TestIssuer::signer() { return impl_->signer; }
std::string TestIssuer::url() const { return impl_->url(); }
void TestIssuer::SetAway(bool away) { impl_->away = away; }
int TestIssuer::reads() const { return impl_->reads; }

json TestIssuer::Claims(const std::string& subject, int64_t now_seconds) const {
  return {{"iss", url()}, {"aud", "slipway"}, {"sub", subject}, {"exp", now_seconds + 3600}};
}

}  // namespace slipway::gateway
