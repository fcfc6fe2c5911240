#ifndef SLIPWAY_TESTS_INTEGRATION_GATEWAY_GATEWAY_FIXTURE_H_
#define SLIPWAY_TESTS_INTEGRATION_GATEWAY_GATEWAY_FIXTURE_H_

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/files/files.h"
#include "common/metrics/metrics.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/gateway/gateway.h"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/system_calls.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {

/// The real gateway on a free port, its database and journal in a fresh folder, in front of fake
/// services on real sockets.
class GatewayTest : public ::testing::Test {
 protected:
  using Answer = http::RawPeer::Answer;
  using json = nlohmann::json;

  GatewayTest() {
    EXPECT_TRUE(trust_.key(ServiceId::kGateway).Save(folder_ / "identity.pem").ok());
    std::filesystem::create_directory(folder_.path() / "run");
    std::filesystem::permissions(folder_.path() / "run", std::filesystem::perms::owner_all);
    platform_ = std::make_unique<FakePlatform>(trust_, folder_ / "run/platform.sock");
    config_.listen = "127.0.0.1:0";
    config_.registry = config_.training = config_.controller = platform_->address();
    config_.identity_key = folder_ / "identity.pem";
    config_.trust_dir = trust_.folder();
    config_.database = "sqlite:" + (folder_ / "gateway.db");
    config_.data_dir = folder_.path().string();
    config_.pepper_file = folder_ / "pepper";
    config_.admin_key_file = folder_ / "admin-key";
    config_.keys_poll = absl::Milliseconds(10);
    config_.ledger_interval = absl::Milliseconds(10);
    config_.usage_poll = absl::Milliseconds(20);
    config_.drain_timeout = absl::Seconds(5);
    config_.journal_bytes = 4 << 20;
  }

  void StartGateway() {
    metrics_ = std::make_unique<Metrics>("gateway");
    auto gateway = Gateway::Start(config_, *metrics_, Clock::Real());
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    if (std::filesystem::exists(config_.admin_key_file)) {
      operator_key_ = *ReadFile(config_.admin_key_file);
      std::filesystem::remove(config_.admin_key_file);
    }
    WaitFor([&] { return gateway_->ready(); }, "the gateway to be ready");
  }

  static void WaitFor(absl::FunctionRef<bool()> condition, const char* what) {
    ASSERT_TRUE(Eventually(condition)) << "waited in vain for " << what;
  }

  static std::string Render(const std::string& method, const std::string& target,
                            const std::string& key, const std::string& body,
                            const std::string& headers = "") {
    std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: x\r\n{}", method, target, headers);
    if (!key.empty()) text += fmt::format("Authorization: Bearer {}\r\n", key);
    if (!body.empty()) text += fmt::format("Content-Length: {}\r\n", body.size());
    return text + "\r\n" + body;
  }

  Answer Ask(const std::string& method, const std::string& target, const std::string& key,
             const std::string& body = "", const std::string& headers = "") {
    http::RawPeer peer(gateway_->address());
    return peer.Ask(Render(method, target, key, body, headers));
  }

  json AskJson(const std::string& method, const std::string& target, const std::string& key,
               const std::string& body = "", int status = 200) {
    const Answer answer = Ask(method, target, key, body);
    EXPECT_EQ(answer.status, status) << method << " " << target << ": " << answer.body;
    return json::parse(answer.body, nullptr, false);
  }

  void MakeTenant(const std::string& id) {
    AskJson("POST", "/api/v1/tenants?tenantId=" + id, operator_key_, "{}");
  }

  /// The key's text.
  std::string MakeKey(const std::string& tenant, const std::string& role) {
    const json key = AskJson("POST", fmt::format("/api/v1/tenants/{}/keys", tenant), operator_key_,
                             fmt::format(R"({{"role":"ROLE_{}"}})", role));
    return key.value("secret", "");
  }

  /// The signature of the model that SetRoute deploys: FP32 "x" of any batch of 2.
  static controller::v1::Route Route(const std::string& tenant, const std::string& endpoint,
                                     const std::vector<std::pair<int, std::string>>& versions) {
    controller::v1::Route route;
    route.set_deployment(fmt::format("tenants/{}/deployments/{}", tenant, endpoint));
    for (const auto& [number, worker] : versions) {
      auto& target = *route.add_targets();
      target.set_model_version(fmt::format("tenants/{}/models/m/versions/{}", tenant, number));
      target.set_weight(1);
      if (!worker.empty()) target.add_workers(worker);
      auto& input = *target.mutable_signature()->add_inputs();
      input.set_name("x");
      input.set_datatype("FP32");
      input.add_shape(-1);
      input.add_shape(2);
      target.add_labels("cat");
      target.add_labels("dog");
    }
    return route;
  }

  void SetRoutes(std::vector<controller::v1::Route> routes) {
    controller::v1::RouteTable table;
    table.set_generation(++generation_);
    for (auto& route : routes) *table.add_routes() = std::move(route);
    platform_->SetRoutes(table);
  }

  /// SetRoutes, and until the gateway knows the endpoint.
  void RouteTo(const std::string& tenant, const std::string& endpoint, const std::string& key,
               const std::vector<std::pair<int, std::string>>& versions) {
    SetRoutes({Route(tenant, endpoint, versions)});
    WaitFor(
        [&] {
          const Answer answer = Ask("GET", "/v2/models/" + endpoint, key);
          return answer.status == 200 &&
                 json::parse(answer.body)["versions"].size() == versions.size();
        },
        "the route");
  }

  /// Whether a call puts a record into the journal.
  static bool WritesRow(const SystemCalls::Call& call) {
    return call.operation == "write" && call.path.find("/journal/segment-") != std::string::npos;
  }

  static std::string InferBody() {
    return R"({"id":"42","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1.5,2]}]})";
  }

  TempDir folder_;
  TestTrust trust_;
  std::unique_ptr<FakePlatform> platform_;
  GatewayConfig config_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Gateway> gateway_;
  std::string operator_key_;
  int64_t generation_ = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_INTEGRATION_GATEWAY_GATEWAY_FIXTURE_H_
