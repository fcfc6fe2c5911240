// The program slipway-gateway itself: what its end does to calls under way.
#include "tests/support/gateway/gateway_process.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "slipway/identity/v1/purge.pb.h"
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

TEST_F(GatewayProcessTest, ADeletionOfATenantGoesOnAfterAKillAtEachOfItsCalls) {
  // The service has done what it was asked for, and the gateway is killed before it hears of it.
  Mutex mutex;
  std::vector<std::string> first_calls;
  const auto held = [&] {
    MutexLock lock(mutex);
    return first_calls.size();
  };
  for (const char* service : {"Controller", "Training", "Registry"}) {
    platform_.On(fmt::format("{}Service/PurgeTenant", service), [&, service](const auto& message) {
      const auto& request = static_cast<const identity::v1::PurgeTenantRequest&>(message);
      const std::string call = fmt::format("{}{}", service, request.remove() ? " remove" : "");
      MutexLock lock(mutex);
      if (std::find(first_calls.begin(), first_calls.end(), call) == first_calls.end()) {
        first_calls.push_back(call);
        return FakePlatform::Reply{.messages = {}, .status = {}, .stays_open = true};
      }
      auto content = std::make_shared<identity::v1::PurgeTenantResponse>();
      auto& kind = *content->add_kinds();
      kind.set_kind("things");
      kind.set_count(request.remove() ? 0 : 7);
      content->set_done(request.remove());
      return FakePlatform::Reply{.messages = {content}, .status = {}};
    });
  }
  const std::string operator_key = gateway_.operator_key();
  ASSERT_EQ(Ask("PUT", "/api/v1/tenants/acme/limits", operator_key, R"({"concurrency":9})").status,
            200);
  ASSERT_EQ(Ask("DELETE", "/api/v1/tenants/acme", operator_key).status, 200);
  for (size_t call = 1; call <= 6; ++call) {
    ASSERT_TRUE(Eventually([&] { return held() == call; })) << call;
    gateway_.Kill();
    gateway_.Restart();
    EXPECT_EQ(Ask("GET", "/api/v1/tenants/-", key_).status, 401) << "its keys stay dead";
  }
  nlohmann::json deletion;
  ASSERT_TRUE(Eventually([&] {
    deletion = nlohmann::json::parse(Ask("GET", "/api/v1/tenants/acme/deletion", operator_key).body,
                                     nullptr, false);
    return deletion.is_object() && deletion.value("state", "") == "DONE";
  })) << deletion;
  const std::string report = deletion["report"];
  for (const char* line : {"controller things 7 ", "training things 7 ", "registry things 7 ",
                           "limits limits 1 ", "limits limit_meters 0 ", "identity batches 0 ",
                           "identity keys 1 ", "identity projects 1 "}) {
    EXPECT_THAT(report, HasSubstr(line));
  }
  EXPECT_EQ(deletion["reportSha256"], Sha256Hex(report));
  EXPECT_EQ(first_calls,
            (std::vector<std::string>{"Controller", "Controller remove", "Training",
                                      "Training remove", "Registry", "Registry remove"}));
}

}  // namespace
}  // namespace slipway::gateway
