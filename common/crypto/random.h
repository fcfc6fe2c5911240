#ifndef SLIPWAY_COMMON_CRYPTO_RANDOM_H_
#define SLIPWAY_COMMON_CRYPTO_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace slipway {

/// `count` bytes nobody can foresee (OpenSSL's generator, seeded by the kernel). Any thread.
/// Aborts when the machine has no entropy: there is nothing safe to go on with.
std::string RandomBytes(size_t count);

/// `bytes` of them as lower-case hex digits: ids of requests and objects.
std::string RandomHex(size_t bytes);

/// Uniform over all 64-bit numbers.
uint64_t RandomUint64();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CRYPTO_RANDOM_H_
