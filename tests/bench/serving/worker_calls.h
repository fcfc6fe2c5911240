#ifndef SLIPWAY_TESTS_BENCH_SERVING_WORKER_CALLS_H_
#define SLIPWAY_TESTS_BENCH_SERVING_WORKER_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "inference/open_inference.pb.h"
#include "tests/bench/serving/models.h"
#include "tests/support/test_trust.h"

namespace slipway {

/// What a gateway sends with a prediction for tenant acme.
inline std::string GatewayToken(const TestTrust& trust) {
  Principal who;
  who.tenant = "acme";
  who.key_id = "k1";
  who.role = Role::kCaller;
  who.caller = ServiceId::kGateway;
  return trust.Token(who, ServiceId::kWorker);
}

/// A call of BenchInput() to what WorkerProcess::Load(name) loaded; `shape` is its input's, batch
/// first. The values go to `input` as well.
inline inference::ModelInferRequest InferRequest(const std::string& name,
                                                 const std::vector<int64_t>& shape,
                                                 std::vector<float>& input) {
  size_t elements = 1;
  for (const int64_t dim : shape) elements *= static_cast<size_t>(dim);
  for (size_t i = 0; i < elements; ++i) input.push_back(BenchInput(static_cast<int64_t>(i)));
  inference::ModelInferRequest request;
  request.set_model_name("tenants/acme/deployments/" + name);
  request.set_model_version("tenants/acme/models/" + name + "/versions/1");
  auto& tensor = *request.add_inputs();
  tensor.set_name("x");
  tensor.set_datatype("FP32");
  for (const int64_t dim : shape) tensor.add_shape(dim);
  request.add_raw_input_contents(input.data(), input.size() * sizeof(float));
  return request;
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_WORKER_CALLS_H_
