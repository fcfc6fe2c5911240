// The program slipway-gateway itself: what its end does to calls under way.
#include "tests/support/gateway/gateway_process.h"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>

#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;

class GatewayProcessTest : public ::testing::Test {
 protected:
  GatewayProcessTest()
      : worker_(trust_, folder_ / "worker.sock"),
        platform_(trust_, folder_ / "platform.sock", Routes()),
        gateway_(launcher_, trust_,
                 {.registry = platform_.address(),
                  .training = platform_.address(),
                  .controller = platform_.address(),
                  .settings = {"drain_timeout=60s"},
                  .wrapper = {}}) {
    Ask("POST", "/api/v1/tenants?tenantId=acme", gateway_.operator_key(), "{}");
    key_ = nlohmann::json::parse(Ask("POST", "/api/v1/tenants/acme/keys", gateway_.operator_key(),
                                     R"({"role":"ROLE_OWNER"})")
                                     .body)["secret"];
  }

  controller::v1::RouteTable Routes() const {
    return SingleRoute("tenants/acme/deployments/digits", "tenants/acme/models/m/versions/1",
                       worker_.address());
  }

  static std::string Render(const std::string& method, const std::string& target,
                            const std::string& key, const std::string& body) {
    return fmt::format(
        "{} {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
        method, target, key, body.size(), body);
  }
  http::RawPeer::Answer Ask(const std::string& method, const std::string& target,
                            const std::string& key, const std::string& body = "") {
    http::RawPeer peer(gateway_.address());
    return peer.Ask(Render(method, target, key, body));
  }

  const TempDir folder_;
  const TestTrust trust_;
  LocalProcessLauncher launcher_;
  FakeWorker worker_;
  FakePlatform platform_;
  GatewayProcess gateway_;
  std::string key_;
};

TEST_F(GatewayProcessTest, SigtermLetsCallsUnderWayEndAndTakesNoMore) {
  std::atomic<int> entered = 0;
  std::atomic<bool> leave = false;
  worker_.OnInfer([&](const auto& request, auto& response) {
    ++entered;
    leave.wait(false);
    EchoTensors(request, response);
    return absl::OkStatus();
  });
  const std::string infer =
      Render("POST", "/v2/models/digits/infer", key_,
             R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[5]}]})");
  http::RawPeer first(gateway_.address());
  http::RawPeer second(gateway_.address());
  first.Send(infer);
  second.Send(infer);
  ASSERT_TRUE(Eventually([&] { return entered == 2; }));

  ASSERT_TRUE(gateway_.process().Signal(SIGTERM).ok());
  ASSERT_TRUE(Eventually([&] { return !http::RawPeer::CanConnect(gateway_.address()); }));
  // It waits for them, however long they take.
  EXPECT_FALSE(gateway_.process().Wait(absl::Milliseconds(300)).ok());
  leave = true;
  leave.notify_all();
  for (http::RawPeer* peer : {&first, &second}) {
    const auto answer = peer->Read();
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr("\"data\":[5]"));
  }
  const auto exit = gateway_.process().Wait(absl::Minutes(1));
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_TRUE(exit->ok()) << exit->ToString() << gateway_.Log();
  EXPECT_THAT(gateway_.Log(), HasSubstr("\"requests_cut\":0"));
}

}  // namespace
}  // namespace slipway::gateway
