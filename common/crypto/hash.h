#ifndef SLIPWAY_COMMON_CRYPTO_HASH_H_
#define SLIPWAY_COMMON_CRYPTO_HASH_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace slipway {

/// 32 bytes.
using Sha256Bytes = std::array<uint8_t, 32>;

/// SHA-256 (FIPS 180-4) over bytes that come in pieces. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&& other) noexcept;
  Sha256& operator=(Sha256&& other) noexcept;

  void Update(std::string_view bytes);

  /// The digest of everything so far; the object starts anew.
  Sha256Bytes Finish();
  /// The same as 64 lower-case hex digits, the form of slipway::Digest.
  std::string FinishHex();

 private:
  evp_md_ctx_st* context_;
};

Sha256Bytes Sha256Of(std::string_view bytes);
std::string Sha256Hex(std::string_view bytes);

/// HMAC-SHA-256 (RFC 2104, RFC 4231). Keys may have any length but 0: an empty key is a broken
/// caller and aborts.
Sha256Bytes HmacSha256(std::string_view key, std::string_view message);

/// HMAC-SHA-256 by one key many times: what depends on the key alone is worked out once. Any
/// thread.
class HmacSha256Key {
 public:
  /// As HmacSha256.
  explicit HmacSha256Key(std::string_view key);
  ~HmacSha256Key();
  HmacSha256Key(HmacSha256Key&& other) noexcept;
  HmacSha256Key& operator=(HmacSha256Key&& other) noexcept;

  Sha256Bytes Of(std::string_view message) const;

 private:
  evp_md_ctx_st* inner_;
  evp_md_ctx_st* outer_;
};

/// True when both are equal; takes the same time wherever they differ. (The lengths may show.)
bool ConstantTimeEqual(std::string_view a, std::string_view b);
bool ConstantTimeEqual(const Sha256Bytes& a, const Sha256Bytes& b);

/// CRC-32 as in zlib, gzip and PNG. Goes on from `crc`, the result over the bytes before.
uint32_t Crc32(std::string_view bytes, uint32_t crc = 0);

/// The bytes of a digest, for functions that take text.
inline std::string_view AsView(const Sha256Bytes& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CRYPTO_HASH_H_
