#ifndef SLIPWAY_COMMON_CRYPTO_OPENSSL_H_
#define SLIPWAY_COMMON_CRYPTO_OPENSSL_H_

#include <cstdio>
#include <cstdlib>

// For the sources of this room only.
namespace slipway::internal {

// OpenSSL fails at these calls only when memory is gone or the library is broken, and no caller
// could go on without what was asked for.
inline void MustSucceed(bool ok, const char* call) {
  if (ok) return;
  std::fprintf(stderr, "OpenSSL failed: %s\n", call);
  std::abort();
}

}  // namespace slipway::internal

#endif  // SLIPWAY_COMMON_CRYPTO_OPENSSL_H_
