#ifndef SLIPWAY_TESTS_INTEGRATION_GATEWAY_OIP_FIXTURE_H_
#define SLIPWAY_TESTS_INTEGRATION_GATEWAY_OIP_FIXTURE_H_

#include <memory>
#include <string>

#include "tests/integration/gateway/gateway_fixture.h"

namespace slipway::gateway {

/// A gateway with tenants acme and globex, and acme's deployment "digits" on one fake worker.
class OipTest : public GatewayTest {
 protected:
  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    MakeTenant("globex");
    key_ = MakeKey("acme", "OWNER");
    worker_ = std::make_unique<FakeWorker>(trust_, folder_ / "run/w1.sock");
    RouteTo("acme", "digits", key_, {{3, worker_->address()}});
  }

  Answer Infer(const std::string& body, const std::string& path = "/v2/models/digits/infer") {
    return Ask("POST", path, key_, body);
  }

  json Records() {
    return AskJson("GET", "/api/v1/tenants/-/usageRecords?pageSize=1000", key_)["usageRecords"];
  }

  std::string key_;
  std::unique_ptr<FakeWorker> worker_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_INTEGRATION_GATEWAY_OIP_FIXTURE_H_
