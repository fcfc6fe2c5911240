// One call through a gateway and a worker, real processes both, is one trace at a collector.

#include <map>
#include <memory>
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
#include "tests/support/otlp_collector.h"
#include "tests/support/serving/test_artifact.h"
#include "tests/support/serving/worker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::e2e {
namespace {

using gateway::FakePlatform;
using gateway::GatewayProcess;
using nlohmann::json;
using ::testing::SizeIs;

constexpr char kDeployment[] = "tenants/acme/deployments/mlp";
constexpr char kVersion[] = "tenants/acme/models/mlp/versions/1";

class TracingTest : public testing::Test {
 protected:
  TracingTest() {
    worker_.Load("mlp", SmallMlp(1));
    platform_.SetRoutes(gateway::SingleRoute(kDeployment, kVersion, worker_.address()));
    gateway_ =
        std::make_unique<GatewayProcess>(launcher_, trust_,
                                         GatewayProcess::Options{.registry = platform_.address(),
                                                                 .training = platform_.address(),
                                                                 .controller = platform_.address(),
                                                                 .settings = Settings(),
                                                                 .wrapper = {}});
    const std::string& operator_key = gateway_->operator_key();
    EXPECT_EQ(Post("/api/v1/tenants?tenantId=acme", operator_key, "{}").status, 200);
    const auto made = Post("/api/v1/tenants/acme/keys", operator_key, R"({"role":"ROLE_CALLER"})");
    key_ = json::parse(made.body)["secret"];
    EXPECT_TRUE(Eventually([&] { return Post("/v2/models/mlp/infer", key_, "{}").status != 401; }));
  }

  std::vector<std::string> Settings() const {
    return {"tracing.endpoint=" + collector_.url(), "tracing.interval=1ms"};
  }

  http::RawPeer::Answer Post(const std::string& path, const std::string& key,
                             const std::string& body, const std::string& headers = "") {
    http::RawPeer peer(gateway_->address());
    return peer.Ask(fmt::format(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{}Content-Length: {}\r\n\r\n{}",
        path, key, headers, body.size(), body));
  }
  http::RawPeer::Answer Infer(const std::string& input, const std::string& headers = "") {
    return Post("/v2/models/mlp/infer", key_,
                fmt::format(R"({{"inputs":[{{"name":"{}","shape":[1,4],"datatype":"FP32",)"
                            R"("data":[1,2,3,4]}}]}})",
                            input),
                headers);
  }

  // The trace's only step of that name, once it has come.
  json StepOf(const std::string& trace, const std::string& name) {
    std::vector<json> found;
    EXPECT_TRUE(Eventually([&] {
      found.clear();
      for (const json& span : collector_.Spans(name)) {
        if (span["traceId"] == trace) found.push_back(span);
      }
      return !found.empty();
    })) << name;
    EXPECT_THAT(found, SizeIs(1)) << name;
    return found.empty() ? json::object() : found[0];
  }

  const TempDir folder_;
  const TestTrust trust_;
  OtlpCollector collector_;
  LocalProcessLauncher launcher_;
  FakePlatform platform_{trust_, folder_ / "platform.sock"};
  WorkerProcess worker_{launcher_, trust_, {.settings = Settings(), .wrapper = {}}};
  std::unique_ptr<GatewayProcess> gateway_;
  std::string key_;
};

TEST_F(TracingTest, OneCallIsOneTrace) {
  const auto answer = Infer("x");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const std::string trace(answer.headers.Get("x-request-id"));

  // Each is a step of the one before it.
  std::map<std::string, json> steps;
  std::string parent;
  for (const std::string name :
       {"gateway.request", "worker.call", "worker.infer", "worker.batch", "worker.execute"}) {
    const json& step = steps[name] = StepOf(trace, name);
    EXPECT_EQ(step.value("parentSpanId", ""), parent) << name;
    parent = step.value("spanId", "");
  }
  const json& infer = steps["worker.infer"];
  EXPECT_EQ(steps["worker.call"]["service"], "slipway-gateway");
  EXPECT_EQ(infer["service"], "slipway-worker");
  EXPECT_EQ(infer["kind"], 2);
  EXPECT_EQ(AttributesOf(infer)["slipway.deployment"], kDeployment);
  EXPECT_EQ(AttributesOf(infer)["slipway.model_version"], kVersion);
  EXPECT_EQ(StepOf(trace, "worker.queue")["parentSpanId"], infer["spanId"]);
  const json& batch = steps["worker.batch"];
  EXPECT_EQ(AttributesOf(batch)["slipway.batch.calls"], "1");
  ASSERT_THAT(batch["links"], SizeIs(1));
  EXPECT_EQ(batch["links"][0]["spanId"], infer["spanId"]);
  EXPECT_EQ(batch["links"][0]["traceId"], trace);
}

TEST_F(TracingTest, ARefusedCallSaysWhyAndRunsNothing) {
  const auto refused = Infer("no_such_input");
  ASSERT_EQ(refused.status, 400) << refused.body;
  const std::string trace(refused.headers.Get("x-request-id"));
  const json infer = StepOf(trace, "worker.infer");
  EXPECT_EQ(infer["status"]["code"], 2);
  EXPECT_EQ(infer["parentSpanId"], StepOf(trace, "worker.call")["spanId"]);
  for (const json& batch : collector_.Spans("worker.batch")) EXPECT_NE(batch["traceId"], trace);
}

TEST_F(TracingTest, AWorkerRecordsNothingOfATraceThatItsCallerDoesNotRecord) {
  constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
  ASSERT_EQ(Infer("x", fmt::format("traceparent: 00-{}-00f067aa0ba902b7-00\r\n", kTrace)).status,
            200);
  // It would have come before those of a later call.
  StepOf(std::string(Infer("x").headers.Get("x-request-id")), "worker.execute");
  for (const json& span : collector_.Spans("worker.infer")) EXPECT_NE(span["traceId"], kTrace);
}

}  // namespace
}  // namespace slipway::e2e
