#ifndef SLIPWAY_TESTS_BENCH_TENSOR_RELAY_H_
#define SLIPWAY_TESTS_BENCH_TENSOR_RELAY_H_

#include <string>

namespace slipway {

/// What tensors cannot cost less than: servers that look at no byte. Each serves every unary method
/// on `address` ("unix:/path") until SIGTERM.

/// Answers a request with the request.
int RunEcho(const std::string& address);

/// Passes requests on to the server at `target`, and its answers back.
int RunRelay(const std::string& address, const std::string& target);

/// A worker's own services, with a model that gives its inputs back: deployment
/// tenants/acme/deployments/image, FP32 "pixels" of any shape of four dimensions. `trust`: the
/// folder of public keys.
int RunIdentityWorker(const std::string& address, const std::string& trust);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_TENSOR_RELAY_H_
