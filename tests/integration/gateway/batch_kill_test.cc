// A batch whose gateway is killed again and again: real processes, kill -9.
#include <atomic>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/registry/registry_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {
namespace {

using nlohmann::json;
using ::testing::SizeIs;

constexpr int kLines = 200;
constexpr int kWindow = 8;
constexpr int kKills = 5;

class BatchKillTest : public ::testing::Test {
 protected:
  BatchKillTest()
      : registry_(trust_, folder_.path().string(), folder_ / "registry.sock"),
        worker_(trust_, folder_ / "worker.sock"),
        platform_(trust_, folder_ / "platform.sock", Routes()),
        gateway_(launcher_, trust_,
                 {.registry = registry_.address(),
                  .training = platform_.address(),
                  .controller = platform_.address(),
                  .settings = {fmt::format("batches.window={}", kWindow), "batches.lease=1s"},
                  .wrapper = {}}) {
    Ask("POST", "/api/v1/tenants?tenantId=acme", gateway_.operator_key(), "{}");
    key_ = json::parse(Ask("POST", "/api/v1/tenants/acme/keys", gateway_.operator_key(),
                           R"({"role":"ROLE_OWNER"})")
                           .body)["secret"];
  }

  controller::v1::RouteTable Routes() const {
    return SingleRoute("tenants/acme/deployments/digits", "tenants/acme/models/m/versions/1",
                       worker_.address());
  }

  http::RawPeer::Answer Ask(const std::string& method, const std::string& target,
                            const std::string& key, const std::string& body = "",
                            const std::string& headers = "") {
    http::RawPeer peer(gateway_.address());
    return peer.Ask(
        fmt::format("{} {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{}"
                    "Content-Length: {}\r\n\r\n{}",
                    method, target, key, headers, body.size(), body));
  }
  json AskJson(const std::string& method, const std::string& target, const std::string& body = "") {
    return json::parse(Ask(method, target, key_, body).body);
  }

  const TempDir folder_;
  const TestTrust trust_;
  LocalProcessLauncher launcher_;
  RegistryServer registry_;
  FakeWorker worker_;
  FakePlatform platform_;
  GatewayProcess gateway_;
  std::string key_;
};

TEST_F(BatchKillTest, EachLineIsAnsweredOnceAndTheLedgerSaysWhichWereCalledAgain) {
  // From this call on the worker keeps what it is called for, until the kill.
  std::atomic<int> calls = 0;
  std::atomic<int> kill_at = 1;
  std::atomic<bool> reached = false;
  worker_.OnInfer([&](const auto& request, auto& response) {
    if (++calls == kill_at) {
      worker_.HoldInferUntilCancelled(true);
      reached = true;
    }
    EchoTensors(request, response);
    return absl::OkStatus();
  });

  std::string lines;
  for (int i = 1; i <= kLines; ++i) {
    lines +=
        json{
            {"custom_id", fmt::format("c{}", i)},
            {"method", "POST"},
            {"url", "/v2/models/digits/infer"},
            {"body",
             {{"inputs", {{{"name", "x"}, {"shape", {1}}, {"datatype", "INT32"}, {"data", {i}}}}}}}}
            .dump() +
        "\n";
  }
  const std::string form =
      "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
      "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n" +
      lines + "\r\n--xyz--\r\n";
  const auto uploaded =
      Ask("POST", "/v1/files", key_, form, "Content-Type: multipart/form-data; boundary=xyz\r\n");
  ASSERT_EQ(uploaded.status, 200) << uploaded.body;
  const json batch = AskJson("POST", "/v1/batches",
                             json{{"input_file_id", json::parse(uploaded.body)["id"]},
                                  {"endpoint", "/v2/models/digits/infer"},
                                  {"completion_window", "24h"}}
                                 .dump());
  const std::string id = batch["id"];
  for (int i = 0; i < kKills; ++i) {
    ASSERT_TRUE(Eventually([&] { return reached.load(); })) << i;
    gateway_.Kill();
    worker_.HoldInferUntilCancelled(false);
    reached = false;
    kill_at = i + 1 < kKills ? calls + 20 + 7 * i : 0;
    gateway_.Restart();
  }
  json ended;
  ASSERT_TRUE(Eventually([&] {
    ended = AskJson("GET", "/v1/batches/" + id);
    return ended["status"] == "completed";
  })) << ended;
  EXPECT_EQ(ended["request_counts"],
            (json{{"total", kLines}, {"completed", kLines}, {"failed", 0}}));

  std::istringstream output(
      Ask("GET", fmt::format("/v1/files/{}/content", ended["output_file_id"].get<std::string>()),
          key_)
          .body);
  int next = 0;
  for (std::string line; std::getline(output, line);) {
    const json read = json::parse(line);
    EXPECT_EQ(read["custom_id"], fmt::format("c{}", ++next));
    EXPECT_EQ(read["response"]["body"]["outputs"][0]["data"][0], next);
  }
  EXPECT_EQ(next, kLines);

  // Newest first. Of a line's rows all but the last say that a kill took their answer.
  std::map<std::string, std::vector<bool>> broken;
  std::string token;
  do {
    const json page =
        AskJson("GET", "/api/v1/tenants/-/usageRecords?pageSize=1000&pageToken=" + token);
    for (const json& row : page["usageRecords"]) broken[row["requestId"]].push_back(row["broken"]);
    token = page["nextPageToken"];
  } while (!token.empty());
  EXPECT_THAT(broken, SizeIs(kLines));
  int again = 0;
  for (const auto& [line, rows] : broken) {
    again += static_cast<int>(rows.size()) - 1;
    for (size_t i = 1; i < rows.size(); ++i) EXPECT_TRUE(rows[i]) << line;
  }
  EXPECT_LE(again, kKills * kWindow);
}

}  // namespace
}  // namespace slipway::gateway
