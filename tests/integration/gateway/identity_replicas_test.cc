// Keys on two gateways that share one real PostgreSQL.
#include <filesystem>
#include <memory>
#include <string>

#include "services/gateway/identity/api_key.h"
#include "tests/integration/gateway/gateway_fixture.h"
#include "tests/support/postgres.h"

namespace slipway::gateway {
namespace {

class IdentityReplicasTest : public GatewayTest {
 protected:
  void SetUp() override {
    config_.database = postgres_.NewDatabase();
    StartGateway();
    GatewayConfig config = config_;
    config.data_dir = folder_ / "second";
    std::filesystem::create_directory(config.data_dir);
    auto gateway = Gateway::Start(config, second_metrics_, Clock::Real());
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    second_ = *std::move(gateway);
    WaitFor([&] { return second_->ready(); }, "the second gateway to be ready");
    MakeTenant("acme");
  }

  Answer AskSecond(const std::string& key) {
    http::RawPeer peer(second_->address());
    return peer.Ask(Render("GET", "/api/v1/platform", key, ""));
  }
  void WaitForSecond(const std::string& key, int status) {
    WaitFor([&] { return AskSecond(key).status == status; }, "the second gateway to follow");
  }
  json Change(const std::string& key, const std::string& verb, const std::string& body = "{}") {
    return AskJson("POST", fmt::format("/api/v1/tenants/acme/keys/{}:{}", *KeyIdOf(key), verb),
                   operator_key_, body);
  }

  TestPostgres postgres_;
  Metrics second_metrics_{"gateway"};
  std::unique_ptr<Gateway> second_;
};

TEST_F(IdentityReplicasTest, WhatIsDoneToAKeyHoldsOnEveryReplica) {
  const std::string key = MakeKey("acme", "OWNER");
  WaitForSecond(key, 200);

  const std::string rotated = Change(key, "rotate", R"({"overlap":"3600s"})")["secret"];
  WaitForSecond(rotated, 200);
  EXPECT_EQ(AskSecond(key).status, 200);
  const std::string last = Change(key, "rotate", R"({"overlap":"0s"})")["secret"];
  WaitForSecond(last, 200);
  EXPECT_EQ(AskSecond(rotated).status, 401);

  AskJson("POST", "/api/v1/tenants/acme:suspend", operator_key_, "{}");
  WaitForSecond(last, 403);
  AskJson("POST", "/api/v1/tenants/acme:resume", operator_key_, "{}");
  WaitForSecond(last, 200);

  Change(key, "revoke");
  EXPECT_EQ(Ask("GET", "/api/v1/platform", last).status, 401);
  WaitForSecond(last, 401);
}

class StaleKeysTest : public IdentityReplicasTest {
 protected:
  StaleKeysTest() { config_.keys_stale = absl::Seconds(3); }
};

TEST_F(StaleKeysTest, KnownKeysGoOnForSoLongOnly) {
  const std::string key = MakeKey("acme", "OWNER");
  WaitForSecond(key, 200);
  postgres_.Stop();
  WaitForSecond(key, 503);
  EXPECT_EQ(AskSecond(key).headers.Get("retry-after"), "1");
  EXPECT_FALSE(second_->ready());
  postgres_.Start();
  WaitForSecond(key, 200);
}

TEST_F(IdentityReplicasTest, WithoutTheDatabaseKnownKeysGoOnAndUnknownOnesAreToldToComeBack) {
  const std::string key = MakeKey("acme", "OWNER");
  const std::string stranger(MakeApiKey("local").text.Reveal());
  WaitForSecond(key, 200);
  EXPECT_EQ(AskSecond(stranger).status, 401);
  postgres_.Stop();
  WaitForSecond(stranger, 503);
  EXPECT_EQ(AskSecond(stranger).headers.Get("retry-after"), "1");
  EXPECT_EQ(AskSecond(key).status, 200);
  // A change is not lost in silence: nobody may believe that a key is dead that is not.
  const Answer revoke =
      Ask("POST", fmt::format("/api/v1/tenants/acme/keys/{}:revoke", *KeyIdOf(key)), operator_key_,
          "{}");
  EXPECT_EQ(revoke.status, 503) << revoke.body;
  EXPECT_EQ(revoke.headers.Get("retry-after"), "1");
  postgres_.Start();
  WaitForSecond(stranger, 401);
  WaitFor([&] { return Ask("GET", "/api/v1/tenants/acme/keys", operator_key_).status == 200; },
          "the database to be back");
  Change(key, "revoke");
  WaitForSecond(key, 401);
}

}  // namespace
}  // namespace slipway::gateway
