#include "common/crypto/secret.h"

#include <openssl/crypto.h>

namespace slipway {

void Secret::Wipe() {
  // The whole buffer: a moved-from or shortened string keeps old bytes behind its end.
  bytes_.resize(bytes_.capacity());
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
  bytes_.clear();
}

}  // namespace slipway
