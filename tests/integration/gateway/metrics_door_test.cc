#include "services/gateway/metrics_door.h"

#include <memory>
#include <string>

#include "common/admin/admin.h"
#include "common/metrics/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/counter.h"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MetricsDoorTest : public ::testing::Test {
 protected:
  // A service with its admin socket.
  struct Service {
    explicit Service(const std::string& name) : metrics(name) {}
    Metrics metrics;
    std::unique_ptr<AdminServer> admin;
  };

  std::unique_ptr<Service> Start(const std::string& name, const std::string& socket) {
    auto service = std::make_unique<Service>(name);
    service->metrics.Counter("calls_total", "Calls").Increment(3);
    auto admin =
        AdminServer::Start("unix:" + (folder_ / socket), service->metrics, [] { return true; });
    EXPECT_TRUE(admin.ok()) << admin.status();
    service->admin = *std::move(admin);
    return service;
  }

  http::RawPeer::Answer Get(const std::string& target, const std::string& method = "GET") {
    http::RawPeer peer(door_->address());
    return peer.Ask(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }

  const TempDir folder_;
  std::unique_ptr<MetricsDoor> door_;
};

TEST_F(MetricsDoorTest, ShowsEveryServiceOnOnePortEachWithItsLabel) {
  const auto registry = Start("registry", "registry.sock");
  const auto first = Start("worker", "w0.sock");
  const auto second = Start("worker", "w1.sock");
  auto door = MetricsDoor::Start("127.0.0.1:0", {"registry=unix:" + (folder_ / "registry.sock"),
                                                 "worker-default-0=unix:" + (folder_ / "w0.sock"),
                                                 "worker-default-1=unix:" + (folder_ / "w1.sock"),
                                                 "training=unix:" + (folder_ / "nobody.sock")});
  ASSERT_TRUE(door.ok()) << door.status();
  door_ = *std::move(door);
  const auto answer = Get("/metrics");
  ASSERT_EQ(answer.status, 200);
  EXPECT_THAT(std::string(answer.headers.Get("content-type")), HasSubstr("text/plain"));
  for (const char* line : {"slipway_registry_calls_total{service=\"registry\"} 3\n",
                           "slipway_worker_calls_total{service=\"worker-default-0\"} 3\n",
                           "slipway_worker_calls_total{service=\"worker-default-1\"} 3\n",
                           "slipway_gateway_metrics_target_up{service=\"worker-default-0\"} 1\n",
                           "slipway_gateway_metrics_target_up{service=\"training\"} 0\n"}) {
    EXPECT_THAT(answer.body, HasSubstr(line));
  }
  // Each family is described once, however many services have it.
  const std::string help = "# HELP slipway_worker_calls_total";
  const size_t at = answer.body.find(help);
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(answer.body.find(help, at + 1), std::string::npos);
}

TEST_F(MetricsDoorTest, AServiceThatComesBackIsShownAgain) {
  auto registry = Start("registry", "registry.sock");
  auto door = MetricsDoor::Start("127.0.0.1:0", {"registry=unix:" + (folder_ / "registry.sock")});
  ASSERT_TRUE(door.ok()) << door.status();
  door_ = *std::move(door);
  registry.reset();
  EXPECT_THAT(Get("/metrics").body, Not(HasSubstr("slipway_registry_calls_total")));
  registry = Start("registry", "registry.sock");
  EXPECT_THAT(Get("/metrics").body, HasSubstr("slipway_registry_calls_total"));
}

TEST_F(MetricsDoorTest, WorkersThatComeAndGoAreFoundByTheirSockets) {
  const auto first = Start("worker", "worker-default-0-admin.sock");
  const auto other = Start("registry", "registry-admin.sock");
  auto door =
      MetricsDoor::Start("127.0.0.1:0", {"worker-*=unix:" + (folder_ / "worker-*-admin.sock")});
  ASSERT_TRUE(door.ok()) << door.status();
  door_ = *std::move(door);
  const char kSecond[] = "slipway_worker_calls_total{service=\"worker-default-1\"} 3\n";
  std::string text = Get("/metrics").body;
  EXPECT_THAT(text, HasSubstr("slipway_worker_calls_total{service=\"worker-default-0\"} 3\n"));
  EXPECT_THAT(text, Not(HasSubstr("registry")));
  {
    const auto second = Start("worker", "worker-default-1-admin.sock");
    EXPECT_THAT(Get("/metrics").body, HasSubstr(kSecond));
  }
  text = Get("/metrics").body;
  EXPECT_THAT(text, Not(HasSubstr("worker-default-1"))) << "it ended in order";
}

TEST_F(MetricsDoorTest, ServesNothingElse) {
  auto door = MetricsDoor::Start("127.0.0.1:0", {});
  ASSERT_TRUE(door.ok()) << door.status();
  door_ = *std::move(door);
  EXPECT_EQ(Get("/").status, 404);
  EXPECT_EQ(Get("/v2/health/live").status, 404);
  EXPECT_EQ(Get("/metrics", "POST").status, 405);
}

}  // namespace
}  // namespace slipway::gateway
