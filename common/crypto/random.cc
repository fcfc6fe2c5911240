#include "common/crypto/random.h"

#include <openssl/rand.h>

#include "common/crypto/encoding.h"
#include "common/crypto/openssl.h"

namespace slipway {
namespace {

void Fill(void* out, size_t count) {
  internal::MustSucceed(
      RAND_bytes_ex(nullptr, static_cast<unsigned char*>(out), count, /*strength=*/0) == 1,
      "RAND_bytes_ex");
}

}  // namespace

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  Fill(bytes.data(), count);
  return bytes;
}

std::string RandomHex(size_t bytes) { return HexEncode(RandomBytes(bytes)); }

uint64_t RandomUint64() {
  uint64_t number = 0;
  Fill(&number, sizeof number);
  return number;
}

}  // namespace slipway
