// The protocol's extensions over HTTP: binary tensors, compression, configuration, statistics and
// the repository. The worker behind the gateway is a real gRPC server that gives back what it gets.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/http/coding.h"
#include "common/tensor/data_type.h"
#include "tests/integration/gateway/oip_fixture.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kInfer[] = "/v2/models/digits/infer";

std::string LengthHeader(size_t json_bytes) {
  return fmt::format("Inference-Header-Content-Length: {}\r\n", json_bytes);
}

class OipProtocolTest : public OipTest {
 protected:
  // A request of JSON and what follows it.
  Answer InferBinary(const std::string& head, const std::string& tensors,
                     const std::string& headers = "") {
    return Ask("POST", kInfer, key_, head + tensors, LengthHeader(head.size()) + headers);
  }

  // An answer's JSON, and what follows it.
  struct Parts {
    json head;
    std::string tensors;
  };
  static Parts Split(const Answer& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    const std::string length(answer.headers.Get("inference-header-content-length"));
    if (length.empty()) return {json::parse(answer.body, nullptr, false), ""};
    const size_t size = std::stoul(length);
    return {json::parse(answer.body.substr(0, size), nullptr, false), answer.body.substr(size)};
  }
};

TEST_F(OipProtocolTest, EveryDatatypeGoesThroughInBinaryUntouched) {
  for (const DataType type : kAllDataTypes) {
    // BYTES: "hi" and "". Else two elements of whatever bits.
    std::string raw("\x02\0\0\0hi\0\0\0\0", 10);
    if (type != DataType::kBytes) {
      raw.clear();
      for (size_t i = 0; i < 2 * ElementSize(type); ++i) {
        raw += static_cast<char>(type == DataType::kBool ? i : 0x81 + 31 * i);
      }
    }
    const std::string head = fmt::format(
        R"({{"parameters":{{"binary_data_output":true}},"inputs":[{{"name":"x","shape":[1,2],)"
        R"("datatype":"{}","parameters":{{"binary_data_size":{}}}}}]}})",
        DataTypeName(type), raw.size());
    const Answer answer = InferBinary(head, raw);
    const auto [json, tensors] = Split(answer);
    EXPECT_EQ(tensors, raw) << DataTypeName(type);
    EXPECT_EQ(json["outputs"][0]["datatype"], std::string(DataTypeName(type)));
    EXPECT_EQ(json["outputs"][0]["parameters"]["binary_data_size"], raw.size());
    EXPECT_FALSE(json["outputs"][0].contains("data"));
    EXPECT_EQ(answer.headers.Get("content-type"), "application/octet-stream");
  }
  const auto requests = worker_->requests();
  ASSERT_THAT(requests, SizeIs(kAllDataTypes.size()));
  for (const auto& request : requests) {
    EXPECT_TRUE(request.parameters().empty());
    EXPECT_TRUE(request.inputs(0).parameters().empty());
  }
}

TEST_F(OipProtocolTest, JsonAndBinaryAreMixedInRequestAndAnswer) {
  const std::string head =
      R"({"inputs":[{"name":"a","shape":[1,2],"datatype":"INT8","data":[7,-1]},)"
      R"({"name":"b","shape":[1,2],"datatype":"FP16","parameters":{"binary_data_size":4}},)"
      R"({"name":"c","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}],)"
      R"("outputs":[{"name":"a"},{"name":"b","parameters":{"binary_data":true}},)"
      R"({"name":"c","parameters":{"binary_data":false}}]})";
  const auto [json, tensors] = Split(InferBinary(head, "wxyz\x05"));
  EXPECT_EQ(json["outputs"][0]["data"], nlohmann::json({7, -1}));
  EXPECT_EQ(json["outputs"][2]["data"], nlohmann::json({5}));
  EXPECT_EQ(tensors, "wxyz");
}

TEST_F(OipProtocolTest, JsonAndBinaryGiveTheSameBits) {
  std::vector<float> values = {0.1F, -3.25e-30F, 1e30F, 7};
  const std::string raw(reinterpret_cast<const char*>(values.data()), 16);
  const auto body = [](const std::string& data, const std::string& more) {
    return fmt::format(R"({{"inputs":[{{"name":"x","shape":[2,2],"datatype":"FP32",{}}}]{}}})",
                       data, more);
  };
  const std::string as_json =
      fmt::format("\"data\":[{},{},{},{}]", values[0], values[1], values[2], values[3]);
  const std::string as_binary = "\"parameters\":{\"binary_data_size\":16}";
  const std::string binary_out = ",\"parameters\":{\"binary_data_output\":true}";
  const auto json_in = Split(Ask("POST", kInfer, key_, body(as_json, binary_out)));
  const auto binary_in = Split(InferBinary(body(as_binary, binary_out), raw));
  EXPECT_EQ(json_in.tensors, raw);
  EXPECT_EQ(binary_in.tensors, raw);
  const auto json_out = Split(InferBinary(body(as_binary, ""), raw));
  EXPECT_EQ(json_out.head["outputs"][0]["data"].get<std::vector<float>>(), values);
}

TEST_F(OipProtocolTest, ABodyWithoutJsonIsTheModelsInput) {
  const std::string raw = "12345678";
  const Answer answer = Ask("POST", kInfer, key_, raw, "Inference-Header-Content-Length: 0\r\n");
  const auto [json, tensors] = Split(answer);
  EXPECT_EQ(tensors, raw);
  EXPECT_EQ(json["outputs"][0]["name"], "x");
  EXPECT_EQ(json["outputs"][0]["shape"], nlohmann::json({1, 2}));
}

TEST_F(OipProtocolTest, AHeaderThatDoesNotFitTheBodyIsRefused) {
  for (const char* header : {"1", "100000", "-1", "x", "18446744073709551616", ""}) {
    const Answer answer = Ask("POST", kInfer, key_, InferBody(),
                              fmt::format("Inference-Header-Content-Length: {}\r\n", header));
    EXPECT_EQ(answer.status, 400) << header << answer.body;
    EXPECT_TRUE(json::parse(answer.body)["error"].is_string());
  }
  EXPECT_THAT(worker_->requests(), SizeIs(0));
}

TEST_F(OipProtocolTest, LargeTensorsGoThroughInBinary) {
  std::string raw(602'112, '\0');
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<char>(i * 7);
  const std::string head =
      R"({"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1,150528],)"
      R"("datatype":"FP32","parameters":{"binary_data_size":602112}}]})";
  EXPECT_TRUE(Split(InferBinary(head, raw)).tensors == raw);
}

TEST_F(OipProtocolTest, TakesCompressedBodies) {
  for (const http::Coding coding : {http::Coding::kGzip, http::Coding::kDeflate}) {
    const std::string header = fmt::format("Content-Encoding: {}\r\n", http::CodingName(coding));
    EXPECT_EQ(Split(Ask("POST", kInfer, key_, http::Encode(coding, InferBody()), header))
                  .head["outputs"][0]["data"],
              nlohmann::json({1.5, 2}));
    const std::string head = R"({"inputs":[{"name":"x","shape":[1,2],"datatype":"INT8",)"
                             R"("parameters":{"binary_data_size":2}}]})";
    EXPECT_EQ(Split(Ask("POST", kInfer, key_, http::Encode(coding, head + "\1\2"),
                        header + LengthHeader(head.size())))
                  .head["outputs"][0]["data"],
              nlohmann::json({1, 2}));
  }
}

TEST_F(OipProtocolTest, RefusesCompressedBodiesThatAreBrokenOrTooMuch) {
  const std::string gzip = "Content-Encoding: gzip\r\n";
  EXPECT_EQ(Ask("POST", kInfer, key_, InferBody(), gzip).status, 400);
  EXPECT_EQ(Ask("POST", kInfer, key_, InferBody(), "Content-Encoding: br\r\n").status, 415);
  const std::string bomb = http::Encode(http::Coding::kGzip, std::string(200 << 20, ' '));
  ASSERT_LT(bomb.size(), 2u << 20);
  const Answer answer = Ask("POST", kInfer, key_, bomb, gzip);
  EXPECT_EQ(answer.status, 413);
  EXPECT_TRUE(json::parse(answer.body)["error"].is_string());
}

TEST_F(OipProtocolTest, CompressesAnswersWhereThatIsAccepted) {
  std::string data;
  for (int i = 0; i < 1000; ++i) data += i > 0 ? ",1" : "1";
  const std::string body = fmt::format(
      R"({{"inputs":[{{"name":"x","shape":[500,2],"datatype":"INT8","data":[{}]}}]}})", data);
  const Answer plain = Ask("POST", kInfer, key_, body);
  EXPECT_FALSE(plain.headers.Has("content-encoding"));
  for (const http::Coding coding : {http::Coding::kGzip, http::Coding::kDeflate}) {
    const std::string name(http::CodingName(coding));
    const Answer answer = Ask("POST", kInfer, key_, body, "Accept-Encoding: " + name + "\r\n");
    EXPECT_EQ(answer.headers.Get("content-encoding"), name);
    EXPECT_EQ(*http::Decode(coding, answer.body, {}), plain.body);
  }
  EXPECT_FALSE(Ask("POST", kInfer, key_, InferBody(), "Accept-Encoding: gzip\r\n")
                   .headers.Has("content-encoding"));
}

TEST_F(OipProtocolTest, ParametersAndRequestedOutputsReachTheWorker) {
  const std::string body =
      R"({"parameters":{"sequence_id":7,"priority":"high"},"inputs":[{"name":"x","shape":[1,1],)"
      R"("datatype":"INT8","parameters":{"p":1.5},"data":[1]}],)"
      R"("outputs":[{"name":"x","parameters":{"classification":2}}]})";
  ASSERT_EQ(Ask("POST", kInfer, key_, body).status, 200);
  const auto request = worker_->requests()[0];
  EXPECT_EQ(request.parameters().at("sequence_id").int64_param(), 7);
  EXPECT_EQ(request.parameters().at("priority").string_param(), "high");
  EXPECT_EQ(request.inputs(0).parameters().at("p").double_param(), 1.5);
  EXPECT_EQ(request.outputs(0).name(), "x");
  EXPECT_EQ(request.outputs(0).parameters().at("classification").int64_param(), 2);
}

TEST_F(OipProtocolTest, TheWorkerLogsTheIdThatTheCallerIsTold) {
  const Answer answer = Ask("POST", kInfer, key_, InferBody(), "X-Request-Id: the-callers\r\n");
  ASSERT_EQ(answer.status, 200);
  ASSERT_THAT(worker_->request_ids(), SizeIs(1));
  EXPECT_EQ(worker_->request_ids()[0], answer.headers.Get("x-request-id"));
  EXPECT_NE(worker_->request_ids()[0], "the-callers");
}

TEST_F(OipProtocolTest, TakesAChunkedBody) {
  http::RawPeer peer(gateway_->address());
  const std::string body = InferBody();
  peer.Send(
      fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n",
                  kInfer, key_));
  for (const char byte : body) peer.Send(fmt::format("1\r\n{}\r\n", byte));
  peer.Send("0\r\n\r\n");
  EXPECT_EQ(peer.Read().status, 200);
}

TEST_F(OipProtocolTest, AnOversizedBodyIs413) {
  gateway_.reset();
  config_.limits.max_infer_body_bytes = 4096;
  StartGateway();
  RouteTo("acme", "digits", key_, {{3, worker_->address()}});
  const Answer answer = Ask("POST", kInfer, key_, std::string(4097, ' '));
  EXPECT_EQ(answer.status, 413);
  EXPECT_TRUE(json::parse(answer.body)["error"].is_string());
  const std::string small = http::Encode(http::Coding::kGzip, std::string(4097, ' '));
  EXPECT_EQ(Ask("POST", kInfer, key_, small, "Content-Encoding: gzip\r\n").status, 413);
}

TEST_F(OipProtocolTest, BrokenJsonIsToldWithItsPlace) {
  const Answer answer = Ask("POST", kInfer, key_, R"({"inputs":[{"name":"x",,}]})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("at byte"));
}

// Takes connections and never says a word.
class SilentListener {
 public:
  explicit SilentListener(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
  }
  ~SilentListener() { ::close(fd_); }

 private:
  const int fd_;
};

TEST_F(OipProtocolTest, ADeadlineThatPassesIs504) {
  gateway_.reset();
  config_.timeouts.infer = absl::Milliseconds(50);
  StartGateway();
  const SilentListener silent(folder_ / "run/silent.sock");
  // Under a name of its own: "digits" answers from the old table until the new one has come.
  RouteTo("acme", "silent", key_, {{3, "unix:" + (folder_ / "run/silent.sock")}});
  const Answer answer = Infer(InferBody(), "/v2/models/silent/infer");
  EXPECT_EQ(answer.status, 504) << answer.body;
  EXPECT_TRUE(json::parse(answer.body)["error"].is_string());
  EXPECT_EQ(Records().size(), 0u);
}

// Header and body written apart would cost 40 ms to Nagle and delayed acknowledgements.
TEST_F(OipProtocolTest, AnAnswerIsOneWrite) {
  http::RawPeer peer(gateway_->address());
  ASSERT_EQ(peer.Ask(Render("POST", kInfer, key_, InferBody())).status, 200);
  EXPECT_EQ(peer.DataSegmentsReceived(), 1);
}

TEST_F(OipProtocolTest, TellsAModelsConfiguration) {
  const json config = AskJson("GET", "/v2/models/digits/config", key_);
  EXPECT_EQ(config["name"], "digits");
  EXPECT_EQ(config["max_batch_size"], 8);
  EXPECT_EQ(config["input"][0]["data_type"], "TYPE_FP32");
  EXPECT_EQ(config["input"][0]["dims"], json({2}));
  EXPECT_EQ(AskJson("GET", "/v2/models/digits/versions/3/config", key_), config);
  EXPECT_EQ(Ask("GET", "/v2/models/digits/versions/4/config", key_).status, 404);
  EXPECT_EQ(Ask("GET", "/v2/models/digits/config", MakeKey("globex", "OWNER")).status, 404);
  SetRoutes({Route("acme", "digits", {{3, ""}})});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/config", key_).status == 503; },
          "the endpoint without a worker");
}

TEST_F(OipProtocolTest, SumsStatisticsOverWorkers) {
  auto second = std::make_unique<FakeWorker>(trust_, folder_ / "run/w2.sock");
  controller::v1::Route route = Route("acme", "digits", {{3, worker_->address()}});
  route.mutable_targets(0)->add_workers(second->address());
  SetRoutes({route});
  json stats;
  WaitFor(
      [&] {
        stats = AskJson("GET", "/v2/models/digits/stats", key_)["model_stats"];
        return stats[0]["inference_count"] == 20;
      },
      "both workers' counts");
  ASSERT_THAT(stats, SizeIs(1));
  EXPECT_EQ(stats[0]["name"], "digits");
  EXPECT_EQ(stats[0]["version"], "3");
  EXPECT_EQ(stats[0]["last_inference"], 1'800'000'000'000);
  EXPECT_EQ(stats[0]["inference_stats"]["success"], (json{{"count", 20}, {"ns", 10'000'000'000}}));
  EXPECT_EQ(stats[0]["batch_stats"][0]["batch_size"], 4);
  EXPECT_EQ(stats[0]["batch_stats"][0]["compute_infer"]["count"], 4);
  EXPECT_EQ(AskJson("GET", "/v2/models/digits/versions/3/stats", key_)["model_stats"], stats);
  EXPECT_EQ(AskJson("GET", "/v2/models/stats", key_)["model_stats"], stats);
  EXPECT_EQ(AskJson("GET", "/v2/models/stats", MakeKey("globex", "VIEWER"))["model_stats"],
            json::array());
}

TEST_F(OipProtocolTest, TheRepositoryIsTheOperatorsAlone) {
  const std::string model = "/v2/repository/models/tenants/acme/deployments/digits";
  for (const std::string& path :
       {std::string("/v2/repository/index"), model + "/load", model + "/unload"}) {
    EXPECT_EQ(Ask("POST", path, key_, "{}").status, 403) << path;
    EXPECT_EQ(Ask("POST", path, "", "{}").status, 401) << path;
    EXPECT_EQ(Ask("GET", path, operator_key_).status, 405) << path;
  }
  EXPECT_THAT(metrics_->Text(), HasSubstr(R"(refused_requests_total{reason="role"} 3)"));
  SetRoutes(
      {Route("acme", "digits", {{3, worker_->address()}}), Route("globex", "digits", {{1, ""}})});
  json index;
  WaitFor(
      [&] {
        index = AskJson("POST", "/v2/repository/index", operator_key_);
        return index.size() == 2;
      },
      "both routes");
  EXPECT_EQ(index[0], (json{{"name", "tenants/acme/deployments/digits"},
                            {"version", "3"},
                            {"state", "READY"},
                            {"reason", ""}}));
  EXPECT_EQ(index[1]["state"], "UNAVAILABLE");
  EXPECT_THAT(AskJson("POST", "/v2/repository/index", operator_key_, R"({"ready":true})"),
              SizeIs(1));
  AskJson("POST", "/v2/repository/index", operator_key_, R"({"ready":5})", 400);
  controller::v1::RouteTable none;
  none.add_routes()->set_deployment("tenants/acme/deployments/idle");
  platform_->SetRoutes(none);
  WaitFor(
      [&] {
        index = AskJson("POST", "/v2/repository/index", operator_key_);
        return index.size() == 1;
      },
      "the other route");
  EXPECT_EQ(index[0], (json{{"name", "tenants/acme/deployments/idle"},
                            {"version", ""},
                            {"state", "UNAVAILABLE"},
                            {"reason", "no worker is ready with it"}}));
}

TEST_F(OipProtocolTest, LoadAndUnloadAreTheControllers) {
  const std::string models = "/v2/repository/models/tenants/acme/deployments/";
  EXPECT_EQ(AskJson("POST", models + "digits/unload", operator_key_, "{}"), json::object());
  EXPECT_EQ(AskJson("POST", models + "digits/load", operator_key_, "{}"), json::object());
  AskJson("POST", "/v2/repository/models/tenants%2Facme%2Fdeployments%2Fdigits/load", operator_key_,
          "{}");
  std::vector<std::string> asked;
  for (const FakePlatform::Call& call : platform_->calls()) {
    if (!call.method.starts_with("ControllerService/")) continue;
    controller::v1::LoadDeploymentRequest request;
    ASSERT_TRUE(request.ParseFromString(call.request));
    asked.push_back(call.method + " " + request.name());
  }
  EXPECT_THAT(asked, testing::ElementsAre(
                         "ControllerService/UnloadDeployment tenants/acme/deployments/digits",
                         "ControllerService/LoadDeployment tenants/acme/deployments/digits",
                         "ControllerService/LoadDeployment tenants/acme/deployments/digits"));
  platform_->On("ControllerService/LoadDeployment", [](const auto&) {
    return FakePlatform::Reply{.messages = {},
                               .status = absl::FailedPreconditionError("bias: is no number")};
  });
  EXPECT_THAT(
      AskJson("POST", models + "digits/load", operator_key_, "{}", 400)["error"].get<std::string>(),
      HasSubstr("bias: is no number"));
  AskJson("POST", "/v2/repository/models/tenants/none/deployments/digits/load", operator_key_, "{}",
          404);
  AskJson("POST", "/v2/repository/models/digits/load", operator_key_, "{}", 404);
}

TEST_F(OipProtocolTest, AWrongMethodIs405WithTheOneThatIsTaken) {
  struct {
    const char* method;
    const char* path;
    const char* allow;
  } const cases[] = {
      {"POST", "/v2", "GET"},
      {"DELETE", "/v2/", "GET"},
      {"POST", "/v2/health/ready", "GET"},
      {"POST", "/v2/models/digits", "GET"},
      {"POST", "/v2/models/digits/ready", "GET"},
      {"POST", "/v2/models/digits/config", "GET"},
      {"POST", "/v2/models/digits/stats", "GET"},
      {"POST", "/v2/models/stats", "GET"},
      {"PUT", "/v2/models/digits/versions/3/infer", "POST"},
      {"GET", "/v2/models/digits/infer", "POST"},
  };
  for (const auto& wrong : cases) {
    const Answer answer = Ask(wrong.method, wrong.path, key_);
    EXPECT_EQ(answer.status, 405) << wrong.path;
    EXPECT_EQ(answer.headers.Get("allow"), wrong.allow) << wrong.path;
    EXPECT_TRUE(json::parse(answer.body)["error"].is_string()) << wrong.path;
  }
}

}  // namespace
}  // namespace slipway::gateway
