#ifndef SLIPWAY_TESTS_BENCH_SERVING_GATEWAY_UNDER_TEST_H_
#define SLIPWAY_TESTS_BENCH_SERVING_GATEWAY_UNDER_TEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/process/process_launcher.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {

/// The program slipway-gateway on the server's core, as it is by default: keys, the usage journal
/// and its ledger, metrics, log. Tenant acme's deployments are behind it, each served by one
/// worker; registry, training and controller are played by this process.
class GatewayUnderTest {
 public:
  /// `worker` is where each of `deployments` answers; `settings` are the gateway's, beside its
  /// defaults. Both references outlive this.
  GatewayUnderTest(ProcessLauncher& launcher, const TestTrust& trust, const std::string& worker,
                   const std::vector<std::string>& deployments,
                   const std::vector<std::string>& settings = {});

  int port() const { return process_.port(); }
  int64_t pid() const { return process_.pid(); }
  /// Of role caller.
  const std::string& key() const { return key_; }
  const std::string& operator_key() const { return process_.operator_key(); }

  /// A whole HTTP request: a prediction of `deployment` with a key of role caller.
  std::string InferRequest(const std::string& deployment, const std::string& body,
                           const std::string& more_headers = "") const;

  /// {"inputs":[{"name":"x", ...}]} of FP32 with these values.
  static std::string InferBody(const std::vector<int64_t>& shape, const std::vector<float>& values);

 private:
  const TempDir folder_;
  gateway::FakePlatform platform_;
  gateway::GatewayProcess process_;
  std::string key_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_GATEWAY_UNDER_TEST_H_
