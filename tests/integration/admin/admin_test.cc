#include "common/admin/admin.h"

#include <atomic>
#include <memory>
#include <string>

#include "common/http/unix_get.h"
#include "common/metrics/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/counter.h"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() {
    auto server = AdminServer::Start("127.0.0.1:0", metrics_, [this] { return ready_.load(); });
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  http::RawPeer::Answer Ask(const std::string& method, const std::string& target) {
    http::RawPeer peer(server_->address());
    peer.Send(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return peer.Read(/*to_head=*/method == "HEAD");
  }
  http::RawPeer::Answer Get(const std::string& target) { return Ask("GET", target); }

  std::atomic<bool> ready_ = false;
  Metrics metrics_{"registry"};
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminTest, SaysThatTheProcessLivesAndNothingElse) {
  const auto answer = Get("/healthz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "");
}

TEST_F(AdminTest, SaysWhetherTheServiceIsReady) {
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/readyz").body, "");
  ready_ = true;
  EXPECT_EQ(Get("/readyz").status, 200);
  EXPECT_EQ(Get("/readyz").body, "");
}

TEST_F(AdminTest, AnswersUnixGetOnASocket) {
  const TempDir dir;
  const std::string path = dir / "a.sock";
  const auto get = [&](std::string_view target) {
    return http::UnixGet(path, target, absl::Seconds(10));
  };
  EXPECT_EQ(get("/healthz"), std::nullopt) << "nobody listens yet";
  const auto server =
      AdminServer::Start("unix:" + path, metrics_, [this] { return ready_.load(); });
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(get("/readyz"), std::nullopt);
  ready_ = true;
  EXPECT_EQ(get("/readyz"), "");
  EXPECT_THAT(get("/metrics").value_or(""), HasSubstr("slipway_registry_build_info"));
}

TEST_F(AdminTest, ShowsTheMetricsAsTheyAre) {
  prometheus::Counter& blobs = metrics_.Counter("blobs_total", "Blobs.");
  blobs.Increment();
  const auto answer = Get("/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.Get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body, HasSubstr("slipway_registry_blobs_total 1\n"));
  blobs.Increment();
  EXPECT_THAT(Get("/metrics").body, HasSubstr("slipway_registry_blobs_total 2\n"));
}

TEST_F(AdminTest, AnswersHeadWithoutABody) {
  const auto answer = Ask("HEAD", "/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "");
}

TEST_F(AdminTest, HasNothingElse) {
  for (const char* target : {"/", "/metrics/", "/healthz/x", "/Metrics", "/debug", "/..", "//"}) {
    EXPECT_EQ(Get(target).status, 404) << target;
  }
  EXPECT_EQ(Get("/healthz?verbose=1").status, 200);
}

TEST_F(AdminTest, TakesNothing) {
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    EXPECT_EQ(Ask(method, "/readyz").status, 405) << method;
  }
}

TEST_F(AdminTest, ListensOnAUnixSocketToo) {
  const TempDir dir;
  const auto server =
      AdminServer::Start("unix:" + (dir / "admin.sock"), metrics_, [] { return true; });
  ASSERT_TRUE(server.ok()) << server.status();
  http::RawPeer peer((*server)->address());
  EXPECT_EQ(peer.Ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

TEST_F(AdminTest, SaysWhyItCannotListen) {
  const auto second = AdminServer::Start(server_->address(), metrics_, [] { return true; });
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->address()));
}

}  // namespace
}  // namespace slipway
