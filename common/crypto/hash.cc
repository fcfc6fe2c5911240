#include "common/crypto/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "common/crypto/encoding.h"
#include "common/crypto/openssl.h"

namespace slipway {

using internal::MustSucceed;

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  MustSucceed(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1,
              "EVP_DigestInit_ex");
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

Sha256::Sha256(Sha256&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}

Sha256& Sha256::operator=(Sha256&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}

void Sha256::Update(std::string_view bytes) {
  MustSucceed(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1, "EVP_DigestUpdate");
}

Sha256Bytes Sha256::Finish() {
  Sha256Bytes digest;
  MustSucceed(EVP_DigestFinal_ex(context_, digest.data(), nullptr) == 1 &&
                  EVP_DigestInit_ex(context_, nullptr, nullptr) == 1,
              "EVP_DigestFinal_ex");
  return digest;
}

std::string Sha256::FinishHex() { return HexEncode(AsView(Finish())); }

Sha256Bytes Sha256Of(std::string_view bytes) {
  Sha256Bytes digest;
  MustSucceed(
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1,
      "EVP_Digest");
  return digest;
}

std::string Sha256Hex(std::string_view bytes) { return HexEncode(AsView(Sha256Of(bytes))); }

Sha256Bytes HmacSha256(std::string_view key, std::string_view message) {
  MustSucceed(!key.empty(), "HMAC with an empty key");
  Sha256Bytes code;
  unsigned int size = code.size();
  MustSucceed(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                   reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                   code.data(), &size) != nullptr,
              "HMAC");
  return code;
}

namespace {

constexpr size_t kBlockBytes = 64;

evp_md_ctx_st* PaddedKey(const std::array<uint8_t, kBlockBytes>& key, uint8_t pad) {
  std::array<uint8_t, kBlockBytes> block;
  for (size_t i = 0; i < key.size(); ++i) block[i] = key[i] ^ pad;
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  MustSucceed(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1 &&
                  EVP_DigestUpdate(context, block.data(), block.size()) == 1,
              "EVP_DigestUpdate");
  OPENSSL_cleanse(block.data(), block.size());
  return context;
}

// A thread's own place to go on from a state that others share.
EVP_MD_CTX* Scratch() {
  struct Owner {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~Owner() { EVP_MD_CTX_free(context); }
  };
  thread_local Owner owner;
  return owner.context;
}

Sha256Bytes FinishFrom(const evp_md_ctx_st* state, std::string_view message) {
  EVP_MD_CTX* const scratch = Scratch();
  Sha256Bytes digest;
  MustSucceed(scratch != nullptr && EVP_MD_CTX_copy_ex(scratch, state) == 1 &&
                  EVP_DigestUpdate(scratch, message.data(), message.size()) == 1 &&
                  EVP_DigestFinal_ex(scratch, digest.data(), nullptr) == 1,
              "EVP_DigestFinal_ex");
  return digest;
}

}  // namespace

HmacSha256Key::HmacSha256Key(std::string_view key) {
  MustSucceed(!key.empty(), "HMAC with an empty key");
  std::array<uint8_t, kBlockBytes> block = {};
  if (key.size() > block.size()) {
    const Sha256Bytes digest = Sha256Of(key);
    std::copy(digest.begin(), digest.end(), block.begin());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  inner_ = PaddedKey(block, 0x36);
  outer_ = PaddedKey(block, 0x5c);
  OPENSSL_cleanse(block.data(), block.size());
}

HmacSha256Key::~HmacSha256Key() {
  EVP_MD_CTX_free(inner_);
  EVP_MD_CTX_free(outer_);
}

HmacSha256Key::HmacSha256Key(HmacSha256Key&& other) noexcept
    : inner_(std::exchange(other.inner_, nullptr)), outer_(std::exchange(other.outer_, nullptr)) {}

HmacSha256Key& HmacSha256Key::operator=(HmacSha256Key&& other) noexcept {
  std::swap(inner_, other.inner_);
  std::swap(outer_, other.outer_);
  return *this;
}

Sha256Bytes HmacSha256Key::Of(std::string_view message) const {
  return FinishFrom(outer_, AsView(FinishFrom(inner_, message)));
}

bool ConstantTimeEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool ConstantTimeEqual(const Sha256Bytes& a, const Sha256Bytes& b) {
  return ConstantTimeEqual(AsView(a), AsView(b));
}

uint32_t Crc32(std::string_view bytes, uint32_t crc) {
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace slipway
