// The Open Inference Protocol over HTTP, at the real gateway in front of a real worker with a real
// model: x FP32 [-1, 4] -> probabilities FP32 [-1, 3].
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/http/coding.h"
#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/sanitizers.h"
#include "tests/support/serving/worker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr char kInfer[] = "/v2/models/mlp/infer";
constexpr char kRow[] = R"({"name":"x","shape":[1,4],"datatype":"FP32","data":[1,0.5,-2,3]})";

struct Serving {
  Serving()
      : worker(launcher, trust, {}),
        platform(trust, folder / "platform.sock", Routes()),
        gateway(launcher, trust,
                {.registry = platform.address(),
                 .training = platform.address(),
                 .controller = platform.address(),
                 .settings = {"limits.max_infer_body_bytes=1048576"},
                 .wrapper = {}}) {
    worker.Load("mlp", artifact);
    Ask("POST", "/api/v1/tenants?tenantId=acme", gateway.operator_key(), "{}");
    key = json::parse(Ask("POST", "/api/v1/tenants/acme/keys", gateway.operator_key(),
                          R"({"role":"ROLE_CALLER"})")
                          .body)["secret"];
  }

  controller::v1::RouteTable Routes() const {
    controller::v1::RouteTable table = gateway::SingleRoute(
        "tenants/acme/deployments/mlp", "tenants/acme/models/mlp/versions/1", worker.address());
    *table.mutable_routes(0)->mutable_targets(0)->mutable_signature() = artifact.signature;
    return table;
  }

  http::RawPeer::Answer Ask(const std::string& method, const std::string& target,
                            const std::string& with_key, const std::string& body,
                            const std::string& headers = "") const {
    http::RawPeer peer(gateway.address());
    return peer.Ask(
        fmt::format("{} {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{}"
                    "Content-Length: {}\r\n\r\n{}",
                    method, target, with_key, headers, body.size(), body));
  }

  const TestArtifact artifact = SmallMlp(1);
  const TempDir folder;
  const TestTrust trust;
  LocalProcessLauncher launcher;
  WorkerProcess worker;
  gateway::FakePlatform platform;
  gateway::GatewayProcess gateway;
  std::string key;
};

class OipHttpTest : public ::testing::Test {
 protected:
  using Answer = http::RawPeer::Answer;

  static void SetUpTestSuite() { serving_ = std::make_unique<Serving>(); }
  static void TearDownTestSuite() { serving_.reset(); }

  static Answer Get(const std::string& path) { return serving_->Ask("GET", path, Key(), ""); }
  static Answer Post(const std::string& path, const std::string& body,
                     const std::string& headers = "") {
    return serving_->Ask("POST", path, Key(), body, headers);
  }
  static Answer Infer(const std::string& inputs, const std::string& more = "") {
    return Post(kInfer, fmt::format(R"({{"inputs":[{}]{}}})", inputs, more));
  }
  static const std::string& Key() { return serving_->key; }

  static void ExpectRefused(const Answer& answer, const std::string& named,
                            const std::string& context = "") {
    EXPECT_EQ(answer.status, 400) << context << answer.body;
    const json body = json::parse(answer.body, nullptr, false);
    ASSERT_TRUE(body.is_object() && body.size() == 1 && body["error"].is_string())
        << context << answer.body;
    EXPECT_THAT(body["error"].get<std::string>(), HasSubstr(named)) << context;
  }

  static std::unique_ptr<Serving> serving_;
};

std::unique_ptr<Serving> OipHttpTest::serving_;

TEST_F(OipHttpTest, AnswersWhatTheModelDoes) {
  const Answer answer = Infer(kRow, R"(,"id":"a-7")");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["id"], "a-7");
  EXPECT_EQ(body["model_name"], "mlp");
  EXPECT_EQ(body["model_version"], "1");
  ASSERT_EQ(body["outputs"].size(), 1u);
  EXPECT_EQ(body["outputs"][0]["name"], "probabilities");
  EXPECT_EQ(body["outputs"][0]["shape"], json({1, 3}));
  EXPECT_THAT(body["outputs"][0]["data"].get<std::vector<float>>(),
              Pointwise(FloatNear(1e-5F), SmallMlpAnswer(serving_->artifact, {1, 0.5F, -2, 3})));
}

TEST_F(OipHttpTest, ReadyAndInferTakeAVersion) {
  EXPECT_EQ(Get("/v2/models/mlp/ready").status, 200);
  EXPECT_EQ(Get("/v2/models/mlp/versions/1/ready").status, 200);
  EXPECT_EQ(Get("/v2/models/mlp/versions/2/ready").status, 404);
  const std::string body = fmt::format(R"({{"inputs":[{}]}})", kRow);
  EXPECT_EQ(Post("/v2/models/mlp/versions/1/infer", body).status, 200);
  EXPECT_EQ(Post("/v2/models/mlp/versions/2/infer", body).status, 404);
}

TEST_F(OipHttpTest, WhatDoesNotFitTheSignatureIsNamed) {
  ExpectRefused(Infer(kRow, R"(,"outputs":[{"name":"nothing"}])"), "nothing");
  ExpectRefused(Infer(R"({"name":"y","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]})"), "y");
  ExpectRefused(
      Infer(std::string(kRow) + R"(,{"name":"extra","shape":[1],"datatype":"FP32","data":[1]})"),
      "extra");
  ExpectRefused(Infer(R"({"name":"x","shape":[1,4],"datatype":"INT32","data":[1,2,3,4]})"),
                "inputs.x.datatype");
  ExpectRefused(Infer(R"({"name":"x","shape":[4],"datatype":"FP32","data":[1,2,3,4]})"),
                "inputs.x.shape");
  ExpectRefused(Infer(R"({"name":"x","shape":[1,2,2],"datatype":"FP32","data":[1,2,3,4]})"),
                "inputs.x.shape");
  ExpectRefused(Infer(R"({"name":"x","shape":[1,5],"datatype":"FP32","data":[1,2,3,4,5]})"),
                "inputs.x.shape");
  ExpectRefused(Infer(""), "inputs");
}

// The highest that a process's resident memory ever was, in MB.
int64_t PeakMegabytes(int64_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) >> 10;
  }
  return -1;
}

TEST_F(OipHttpTest, ShapesAreNeverBelieved) {
  const int64_t gateway_before = PeakMegabytes(serving_->gateway.pid());
  const int64_t worker_before = PeakMegabytes(serving_->worker.pid());
  for (const char* shape :
       {"[16,1152921504606846978]", "[9223372036854775807,2]", "[4294967296,4294967296]",
        "[1000000000,4]", "[-1,4]", "[0,4]", "[1,-4]", "[1,0]", "[1.5,4]", "[1e3,4]"}) {
    ExpectRefused(Infer(fmt::format(
                      R"({{"name":"x","shape":{},"datatype":"FP32","data":[1,2,3,4]}})", shape)),
                  "x", shape);
    const std::string head = fmt::format(R"({{"inputs":[{{"name":"x","shape":{},"datatype":"FP32",)"
                                         R"("parameters":{{"binary_data_size":16}}}}]}})",
                                         shape);
    const Answer binary = Post(kInfer, head + std::string(16, '\0'),
                               fmt::format("Inference-Header-Content-Length: {}\r\n", head.size()));
    EXPECT_EQ(binary.status, 400) << shape << binary.body;
  }
  for (const size_t bytes : {0, 4, 15, 17, 32}) {
    const std::string head =
        fmt::format(R"({{"inputs":[{{"name":"x","shape":[1,4],"datatype":"FP32",)"
                    R"("parameters":{{"binary_data_size":{}}}}}]}})",
                    bytes);
    ExpectRefused(Post(kInfer, head + std::string(bytes, '\0'),
                       fmt::format("Inference-Header-Content-Length: {}\r\n", head.size())),
                  "inputs.x", std::to_string(bytes));
  }
  if (!kSanitized) {
    EXPECT_LT(PeakMegabytes(serving_->gateway.pid()) - gateway_before, 64);
    EXPECT_LT(PeakMegabytes(serving_->worker.pid()) - worker_before, 64);
  }
}

TEST_F(OipHttpTest, NamesThatNoModelHasAreNotFound) {
  for (const std::string& name :
       {std::string("../mlp"), std::string("%2e%2e%2fmlp"), std::string("a%2fb"), std::string(),
        std::string(10'000, 'm'), std::string("mlp%00"), std::string("MLP"),
        std::string("mlp;x")}) {
    for (const char* verb : {"", "/ready", "/config", "/stats"}) {
      const Answer answer = Get("/v2/models/" + name + verb);
      EXPECT_TRUE(answer.status == 404 || answer.status == 400) << name << verb << answer.status;
      EXPECT_TRUE(json::parse(answer.body)["error"].is_string()) << name;
    }
    const Answer answer = Post("/v2/models/" + name + "/infer", "{}");
    EXPECT_TRUE(answer.status == 404 || answer.status == 400) << name << answer.status;
  }
}

TEST_F(OipHttpTest, BodiesComeCompressedChunkedOversizedAndBroken) {
  const std::string body = fmt::format(R"({{"inputs":[{}]}})", kRow);
  const std::string plain = Post(kInfer, body).body;
  for (const http::Coding coding : {http::Coding::kGzip, http::Coding::kDeflate}) {
    const Answer answer = Post(kInfer, http::Encode(coding, body),
                               fmt::format("Content-Encoding: {}\r\n", http::CodingName(coding)));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, plain);
  }
  http::RawPeer peer(serving_->gateway.address());
  const Answer chunked =
      peer.Ask(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                           kInfer, Key(), body.size(), body));
  EXPECT_EQ(chunked.body, plain);
  EXPECT_EQ(Post(kInfer, std::string((1 << 20) + 1, ' ')).status, 413);
  ExpectRefused(Post(kInfer, R"({"inputs":[}])"), "byte");
}

TEST_F(OipHttpTest, OutputsAreClassifiedWhereThatIsAsked) {
  const Answer answer =
      Infer(kRow, R"(,"outputs":[{"name":"probabilities","parameters":{"classification":2}}])");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json output = json::parse(answer.body)["outputs"][0];
  EXPECT_EQ(output["datatype"], "BYTES");
  EXPECT_EQ(output["shape"], json({1, 2}));
  const std::vector<float> expected = SmallMlpAnswer(serving_->artifact, {1, 0.5F, -2, 3});
  const size_t best =
      static_cast<size_t>(std::max_element(expected.begin(), expected.end()) - expected.begin());
  EXPECT_THAT(output["data"][0].get<std::string>(), HasSubstr(fmt::format(":{}", best)));
}

TEST_F(OipHttpTest, TellsOfServerAndModel) {
  EXPECT_EQ(json::parse(Get("/v2").body)["name"], "slipway");
  const json model = json::parse(Get("/v2/models/mlp").body);
  EXPECT_EQ(model["inputs"], json::parse(R"([{"name":"x","datatype":"FP32","shape":[-1,4]}])"));
  EXPECT_EQ(model["outputs"],
            json::parse(R"([{"name":"probabilities","datatype":"FP32","shape":[-1,3]}])"));
  const json config = json::parse(Get("/v2/models/mlp/config").body);
  EXPECT_EQ(config["name"], "mlp");
  EXPECT_EQ(config["input"][0]["dims"], json({4}));
  Infer(kRow);
  const json stats = json::parse(Get("/v2/models/mlp/stats").body)["model_stats"][0];
  EXPECT_EQ(stats["name"], "mlp");
  EXPECT_EQ(stats["version"], "1");
  EXPECT_GT(stats["inference_count"], 0);
  EXPECT_GT(stats["inference_stats"]["success"]["ns"], 0);
}

TEST_F(OipHttpTest, JsonAndBinaryGiveTheSameBits) {
  std::mt19937 random(17);
  for (int round = 0; round < 100; ++round) {
    const int rows = 1 + static_cast<int>(random() % 5);
    std::vector<float> values(static_cast<size_t>(rows) * 4);
    for (float& value : values) {
      value = std::normal_distribution<float>(0, std::exp2(random() % 12))(random);
    }
    const std::string raw(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    const std::string start =
        fmt::format(R"({{"inputs":[{{"name":"x","shape":[{},4],"datatype":"FP32",)", rows);
    const Answer as_json =
        Post(kInfer, start + fmt::format(R"("data":[{}]}}]}})", fmt::join(values, ",")));
    const std::string head = start + fmt::format(R"("parameters":{{"binary_data_size":{}}}}}],)"
                                                 R"("parameters":{{"binary_data_output":true}}}})",
                                                 raw.size());
    const Answer as_binary = Post(
        kInfer, head + raw, fmt::format("Inference-Header-Content-Length: {}\r\n", head.size()));
    ASSERT_EQ(as_json.status, 200) << as_json.body;
    ASSERT_EQ(as_binary.status, 200) << as_binary.body;
    const auto printed = json::parse(as_json.body)["outputs"][0]["data"].get<std::vector<float>>();
    const size_t at =
        std::stoul(std::string(as_binary.headers.Get("inference-header-content-length")));
    ASSERT_EQ(as_binary.body.substr(at),
              std::string(reinterpret_cast<const char*>(printed.data()), printed.size() * 4));
  }
}

}  // namespace
}  // namespace slipway
