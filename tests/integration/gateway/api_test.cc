// The REST door: forms of bad requests, errors, streams up and down, what services see.

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/http/coding.h"
#include "common/sql/database.h"
#include "google/api/httpbody.pb.h"
#include "services/gateway/identity/api_key.h"
#include "slipway/identity/v1/purge.pb.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"
#include "tests/integration/gateway/gateway_fixture.h"
#include "tests/integration/http/memory_watch.h"
#include "tests/support/sanitizers.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

class ApiTest : public GatewayTest {
 protected:
  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    key_ = MakeKey("acme", "OWNER");
  }

  std::string key_;
};

TEST_F(ApiTest, RelaysACallWithItsNamesResolved) {
  const json model = AskJson("POST", "/api/v1/tenants/-/models?modelId=m&requestId=r1", key_,
                             R"({"description":"a model"})");
  EXPECT_EQ(model["name"], "tenants/acme");
  const auto calls = platform_->calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].method, "RegistryService/CreateModel");
  registry::v1::CreateModelRequest request;
  ASSERT_TRUE(request.ParseFromString(calls[0].request));
  EXPECT_EQ(request.parent(), "tenants/acme");
  EXPECT_EQ(request.model_id(), "m");
  EXPECT_EQ(request.request_id(), "r1");
  EXPECT_EQ(request.model().description(), "a model");
  EXPECT_EQ(calls[0].principal.tenant, "acme");
  EXPECT_EQ(calls[0].principal.role, Role::kOwner);
}

TEST_F(ApiTest, TellsErrorsOfServicesInItsOwnForm) {
  platform_->On("RegistryService/GetModel", [](const auto&) {
    return FakePlatform::Reply{.messages = {}, .status = InvalidField("name", "is no good")};
  });
  const Answer answer = Ask("GET", "/api/v1/tenants/-/models/m", key_);
  EXPECT_EQ(answer.status, 400);
  const json error = json::parse(answer.body)["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(error["field"], "name");
  EXPECT_EQ(error["message"], "name: is no good");
  EXPECT_EQ(error["requestId"], answer.headers.Get("x-request-id"));

  const std::vector<std::pair<absl::Status, int>> cases = {
      {NotFound("x"), 404},
      {absl::AlreadyExistsError("x"), 409},
      {StorageFull("/data"), 507},
      {TooLarge("x", 5), 413},
      {absl::FailedPreconditionError("x"), 400},
      {absl::ResourceExhaustedError("x"), 429},
      {absl::UnimplementedError("x"), 501},
  };
  for (const auto& [status, code] : cases) {
    platform_->On("RegistryService/GetModel", [status = status](const auto&) {
      return FakePlatform::Reply{.messages = {}, .status = status};
    });
    EXPECT_EQ(Ask("GET", "/api/v1/tenants/-/models/m", key_).status, code) << status;
  }
}

TEST_F(ApiTest, KeepsWhatOnlyTheLogMayKnow) {
  platform_->On("RegistryService/GetModel", [](const auto&) {
    return FakePlatform::Reply{.messages = {},
                               .status = absl::InternalError("SELECT * FROM /var/secret")};
  });
  const Answer answer = Ask("GET", "/api/v1/tenants/-/models/m", key_);
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, ::testing::Not(HasSubstr("secret")));
}

TEST_F(ApiTest, AServiceThatIsAwayIs503AndComesBack) {
  platform_->Stop();
  const Answer away = Ask("GET", "/api/v1/tenants/-/models/m", key_);
  EXPECT_EQ(away.status, 503);
  EXPECT_EQ(away.headers.Get("retry-after"), "1");
  EXPECT_THAT(away.body, HasSubstr("the registry service cannot be reached"));
  EXPECT_THAT(away.body, ::testing::Not(HasSubstr(".sock")));
  platform_->StartAgain();
  WaitFor([&] { return Ask("GET", "/api/v1/tenants/-/models/m", key_).status == 200; },
          "the registry to come back");
}

TEST_F(ApiTest, RefusesBadRequestsByNameAndAsksNoService) {
  struct {
    const char* method;
    std::string target;
    std::string body;
    int status;
    const char* field;
  } const cases[] = {
      {"GET", "/api/v1/tenants/-/models?pageSize=x", "", 400, "pageSize"},
      {"GET", "/api/v1/tenants/-/models?nothing=1", "", 400, "nothing"},
      {"GET", "/api/v1/tenants/-/models?pageSize=%zz", "", 400, "pageSize"},
      {"GET", "/api/v1/tenants/Not-A-Slug/models", "", 400, "parent"},
      {"GET", "/api/v1/tenants/..%2f..%2fetc/models", "", 404, ""},
      {"GET", "/api/v1/tenants/../models", "", 400, "parent"},
      {"GET", "/api/v1/tenants/%2e%2e/models", "", 400, "parent"},
      {"GET", "/api/v1//models", "", 404, ""},
      {"GET", "/api/v1/nothing/here", "", 404, ""},
      {"GET", "/api/v1/tenants/%00/models", "", 400, ""},
      {"GET", "/api/v1/tenants/" + std::string(9000, 'a') + "/models", "", 400, "parent"},
      {"PUT", "/api/v1/tenants/-/models", "{}", 405, ""},
      {"POST", "/api/v1/tenants/-/models?modelId=m", "{", 400, "document"},
      {"POST", "/api/v1/tenants/-/models?modelId=m", "[]", 400, "body"},
      {"POST", "/api/v1/tenants/-/models?modelId=m", R"({"description":5})", 400, "description"},
      {"POST", "/api/v1/tenants/-/models?modelId=m", R"({"descriptions":"a"})", 400,
       "descriptions"},
      {"POST", "/api/v1/tenants/-/models?modelId=m", R"({"name":"a","name":"b"})", 400, "name"},
      {"POST", "/api/v1/tenants/-/jobs", R"({"spec":{"training":{"epochs":1e999}}})", 400,
       "document"},
      {"POST", "/api/v1/tenants/-/keys", R"({"role":"ROLE_OPERATOR"})", 400, "role"},
      {"POST", "/api/v1/tenants/-/keys", R"({"role":"ROLE_OWNER","secret":"mine"})", 400, "secret"},
  };
  for (const auto& wrong : cases) {
    const Answer answer = Ask(wrong.method, wrong.target, key_, wrong.body);
    EXPECT_EQ(answer.status, wrong.status) << wrong.target << " " << wrong.body << answer.body;
    const json error = json::parse(answer.body)["error"];
    EXPECT_EQ(error["field"], wrong.field) << wrong.target << " " << wrong.body << answer.body;
    EXPECT_EQ(error["requestId"], answer.headers.Get("x-request-id"));
    EXPECT_EQ(answer.headers.Get("content-type"), "application/json");
  }
  EXPECT_THAT(platform_->calls(), SizeIs(0));
}

TEST_F(ApiTest, RefusesBodiesThatAreTooLarge) {
  const std::string large = R"({"description":")" + std::string(5 << 20, 'x') + "\"}";
  EXPECT_EQ(Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, large).status, 413);
  const std::string bomb = http::Encode(http::Coding::kGzip, large);
  ASSERT_LT(bomb.size(), 1u << 20);
  EXPECT_EQ(
      Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, bomb, "Content-Encoding: gzip\r\n")
          .status,
      413);
}

TEST_F(ApiTest, TakesCompressedBodies) {
  const auto create = [&](const std::string& body, const std::string& coding) {
    return Ask("POST", "/api/v1/tenants/-/models?modelId=m", key_, body,
               fmt::format("Content-Encoding: {}\r\n", coding));
  };
  for (const http::Coding coding : {http::Coding::kGzip, http::Coding::kDeflate}) {
    const std::string body = http::Encode(coding, R"({"description":"small"})");
    EXPECT_EQ(create(body, std::string(http::CodingName(coding))).status, 200);
    registry::v1::CreateModelRequest request;
    ASSERT_TRUE(request.ParseFromString(platform_->calls().back().request));
    EXPECT_EQ(request.model().description(), "small");
  }
  EXPECT_EQ(create("{}", "gzip").status, 400) << "it is none";
  const Answer unknown = create("{}", "br");
  EXPECT_EQ(unknown.status, 415);
  EXPECT_THAT(std::string(unknown.headers.Get("accept-encoding")), HasSubstr("gzip"));
  EXPECT_EQ(create("{}", "gzip, gzip").status, 415);
  EXPECT_EQ(
      Ask("POST", "/api/v1/tenants/-/blobs", key_, "bytes", "Content-Encoding: gzip\r\n").status,
      415)
      << "an upload is the bytes that come";
}

TEST_F(ApiTest, AnonymousCallersGetTheNamedListOnly) {
  EXPECT_EQ(Ask("GET", "/v2/health/live", "").status, 200);
  EXPECT_EQ(Ask("GET", "/v2/health/ready", "").status, 200);
  EXPECT_EQ(Ask("GET", "/openapi.json", "").status, 200);
  for (const char* path : {"/", "/v2", "/v2/models/m", "/v2/health", "/v2/health/live/", "/metrics",
                           "/healthz", "/api/v1/platform", "/api/v1/nothing", "/openapi.json/",
                           "/v1/models", "/v2/health/../models/m"}) {
    EXPECT_EQ(Ask("GET", path, "").status, 401) << path;
  }
}

TEST_F(ApiTest, TheOpenApiDocumentNamesEveryMethodWithItsWords) {
  const json document = json::parse(Ask("GET", "/openapi.json", "").body);
  EXPECT_EQ(document["openapi"], "3.0.3");
  EXPECT_EQ(document["paths"].size(), 57u) << "a path more or less: look at it, then count again";
  const json& upload = document["paths"]["/api/v1/tenants/{tenant}/blobs"]["post"];
  EXPECT_EQ(upload["x-slipway-role"], "developer");
  EXPECT_THAT(upload["description"].get<std::string>(), StartsWith("The body is the content"));
  EXPECT_EQ(upload["parameters"][1]["name"], "digest");
  EXPECT_EQ(document["components"]["schemas"]["gateway.v1.ApiKey"]["properties"]["secret"]["type"],
            "string");
  // Every reference leads somewhere.
  const std::string text = document.dump();
  for (size_t at = 0; (at = text.find("#/components/", at)) != std::string::npos;) {
    const std::string pointer = text.substr(at + 1, text.find('"', at) - at - 1);
    EXPECT_TRUE(document.contains(json::json_pointer(pointer))) << pointer;
    at += pointer.size();
  }
}

TEST_F(ApiTest, UploadsAnyLengthInFlatMemory) {
  platform_->On("RegistryService/UploadBlob", [](const auto&) {
    auto blob = std::make_shared<registry::v1::Blob>();
    blob->set_name("tenants/acme/blobs/sha256:00");
    return FakePlatform::Reply{.messages = {blob}, .status = absl::OkStatus()};
  });
  constexpr int64_t kBytes = int64_t{256} << 20;
  const std::string piece(1 << 20, 'u');
  http::RawPeer peer(gateway_->address());
  peer.Send(
      fmt::format("POST /api/v1/tenants/-/blobs?digest=sha256:ab HTTP/1.1\r\nHost: x\r\n"
                  "x-api-key: {}\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
                  key_, kBytes));
  http::MemoryWatch memory;
  for (int64_t sent = 0; sent < kBytes; sent += static_cast<int64_t>(piece.size())) {
    ASSERT_TRUE(peer.Send(piece));
    memory.Look();
  }
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["name"], "tenants/acme/blobs/sha256:00");
  // Gateway and service are both in this process. A sanitizer keeps what is freed.
  if (!kSanitized) {
    EXPECT_LT(memory.growth(), 64u << 20);
  }
  const auto calls = platform_->calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].content_bytes, static_cast<uint64_t>(kBytes));
  registry::v1::UploadBlobRequest first;
  ASSERT_TRUE(first.ParseFromString(calls[0].request));
  EXPECT_EQ(first.parent(), "tenants/acme");
  EXPECT_EQ(first.digest(), "sha256:ab");
  EXPECT_EQ(first.content().content_type(), "text/csv");
}

TEST_F(ApiTest, UploadsNothingAndChunks) {
  EXPECT_EQ(Ask("POST", "/api/v1/tenants/-/blobs", key_).status, 200);
  http::RawPeer peer(gateway_->address());
  const Answer answer =
      peer.Ask(fmt::format("POST /api/v1/tenants/-/blobs HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                           key_));
  EXPECT_EQ(answer.status, 200) << answer.body;
  const auto calls = platform_->calls();
  ASSERT_THAT(calls, SizeIs(2));
  EXPECT_EQ(calls[0].content_bytes, 0u);
  EXPECT_EQ(calls[1].content_bytes, 5u);
}

TEST_F(ApiTest, AnUploadWhoseCallerLeavesIsCancelled) {
  {
    http::RawPeer peer(gateway_->address());
    peer.Send(
        fmt::format("POST /api/v1/tenants/-/blobs HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\n"
                    "Content-Length: 1000\r\n\r\nabc",
                    key_));
    platform_->WaitForStream("RegistryService/UploadBlob", true);
  }
  platform_->WaitForStream("RegistryService/UploadBlob", false);
}

std::shared_ptr<google::api::HttpBody> Body(std::string data, const char* type = "") {
  auto body = std::make_shared<google::api::HttpBody>();
  body->set_data(std::move(data));
  body->set_content_type(type);
  return body;
}

TEST_F(ApiTest, DownloadsPieceByPiece) {
  platform_->On("RegistryService/DownloadBlob", [](const auto&) {
    FakePlatform::Reply reply;
    reply.messages.push_back(Body("first,", "text/csv"));
    for (int i = 0; i < 200; ++i) reply.messages.push_back(Body(std::string(100'000, 'd')));
    return reply;
  });
  const Answer answer = Ask("GET", "/api/v1/tenants/-/blobs/sha256:ab:download", key_);
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.headers.Get("content-type"), "text/csv");
  EXPECT_EQ(answer.headers.Get("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer.body.size(), 6 + 200u * 100'000);
}

TEST_F(ApiTest, ADownloadThatFailsIsAnErrorBeforeItsFirstByteAndACutAfter) {
  platform_->On("RegistryService/DownloadBlob", [](const auto&) {
    return FakePlatform::Reply{.messages = {}, .status = NotFound("tenants/acme/blobs/x")};
  });
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/-/blobs/x:download", key_).status, 404);
  platform_->On("RegistryService/DownloadBlob", [](const auto&) {
    return FakePlatform::Reply{.messages = {Body("half")}, .status = absl::DataLossError("disk")};
  });
  const Answer cut = Ask("GET", "/api/v1/tenants/-/blobs/x:download", key_);
  EXPECT_EQ(cut.status, 200);
  EXPECT_FALSE(cut.complete);
}

std::shared_ptr<training::v1::Event> Event(int sequence) {
  auto event = std::make_shared<training::v1::Event>();
  event->set_sequence(sequence);
  return event;
}

TEST_F(ApiTest, WatchesOneObjectALine) {
  platform_->On("TrainingService/WatchTrainingJob", [](const auto&) {
    return FakePlatform::Reply{.messages = {Event(1), Event(2)}, .status = absl::OkStatus()};
  });
  const Answer answer = Ask("GET", "/api/v1/tenants/-/jobs/j:watch?afterSequence=0", key_);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.Get("content-type"), "application/x-ndjson");
  std::istringstream lines(answer.body);
  std::string line;
  for (const char* sequence : {"1", "2"}) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(json::parse(line)["sequence"], sequence);
  }
}

TEST_F(ApiTest, AWatchThatBreaksSaysSoInItsLastLine) {
  platform_->On("TrainingService/WatchTrainingJob", [](const auto&) {
    return FakePlatform::Reply{.messages = {Event(1)}, .status = absl::AbortedError("moved")};
  });
  const Answer answer = Ask("GET", "/api/v1/tenants/-/jobs/j:watch", key_);
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  EXPECT_THAT(answer.body, HasSubstr(R"({"error":{"code":"ABORTED","message":"moved")"));
}

TEST_F(ApiTest, AWatchEndsWithItsCaller) {
  platform_->On("TrainingService/WatchTrainingJob", [](const auto&) {
    return FakePlatform::Reply{
        .messages = {Event(1)}, .status = absl::OkStatus(), .stays_open = true};
  });
  {
    http::RawPeer peer(gateway_->address());
    peer.Send(Render("GET", "/api/v1/tenants/-/jobs/j:watch", key_, ""));
    platform_->WaitForStream("TrainingService/WatchTrainingJob", true);
  }
  platform_->WaitForStream("TrainingService/WatchTrainingJob", false);
}

TEST_F(ApiTest, ADrainEndsWatchesAndLetsTheRestFinish) {
  platform_->On("TrainingService/WatchTrainingJob", [](const auto&) {
    return FakePlatform::Reply{
        .messages = {Event(1)}, .status = absl::OkStatus(), .stays_open = true};
  });
  http::RawPeer peer(gateway_->address());
  peer.Send(Render("GET", "/api/v1/tenants/-/jobs/j:watch", key_, ""));
  platform_->WaitForStream("TrainingService/WatchTrainingJob", true);
  EXPECT_EQ(gateway_->Drain(), 0);
  EXPECT_FALSE(gateway_->ready());
  const Answer answer = peer.Read();
  EXPECT_TRUE(answer.complete || answer.status == 503) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("the gateway is stopping"));
}

TEST_F(ApiTest, ARevokedKeyIsDeadAtOnce) {
  const std::string doomed = MakeKey("acme", "VIEWER");
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/-/models", doomed).status, 200);
  AskJson("POST", fmt::format("/api/v1/tenants/acme/keys/{}:revoke", *KeyIdOf(doomed)), key_);
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/-/models", doomed).status, 401);
}

TEST_F(ApiTest, AuditsEachChangeWithItsResult) {
  AskJson("POST", "/api/v1/tenants/-/models?modelId=m", key_, "{}");
  platform_->On("RegistryService/DeleteDataset", [](const auto&) {
    return FakePlatform::Reply{.messages = {}, .status = NotFound("tenants/acme/datasets/d")};
  });
  const Answer refused = Ask("DELETE", "/api/v1/tenants/-/datasets/d", key_);
  EXPECT_EQ(refused.status, 404);
  AskJson("GET", "/api/v1/tenants/-/models", key_);
  const json records = AskJson("GET", "/api/v1/tenants/-/auditRecords", key_)["auditRecords"];
  // Newest first; the operator made the tenant and the key.
  ASSERT_EQ(records.size(), 4u) << records.dump(1);
  EXPECT_EQ(records[0]["method"], "slipway.gateway.v1.DatasetService/DeleteDataset");
  EXPECT_EQ(records[0]["resource"], "tenants/acme/datasets/d");
  EXPECT_EQ(records[0]["httpCode"], 404);
  EXPECT_EQ(records[0]["requestId"], refused.headers.Get("x-request-id"));
  EXPECT_EQ(records[0]["keyId"], std::string(*KeyIdOf(key_)));
  EXPECT_EQ(records[0]["peerAddress"], "127.0.0.1");
  EXPECT_EQ(records[1]["method"], "slipway.gateway.v1.ModelService/CreateModel");
  EXPECT_EQ(records[1]["httpCode"], 200);
  EXPECT_THAT(records[2]["resource"].get<std::string>(), StartsWith("tenants/acme/keys/k"));
  EXPECT_EQ(records[3]["resource"], "tenants/acme");
  EXPECT_EQ(records[3]["keyId"], std::string(*KeyIdOf(operator_key_)));
}

TEST_F(ApiTest, RefusalsAreAuditedByKeyOrAddressAndExplained) {
  MakeTenant("globex");
  const std::string viewer = MakeKey("acme", "VIEWER");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask("GET", "/api/v1/tenants/-/models", "").status, 401);
    EXPECT_EQ(Ask("POST", "/api/v1/tenants/-/models?modelId=m", viewer, "{}").status, 403);
  }
  const Answer foreign = Ask("GET", "/api/v1/tenants/globex/models", key_);
  EXPECT_EQ(foreign.status, 404);
  const json all = AskJson("GET", "/api/v1/audit?kind=REFUSALS", operator_key_)["auditRecords"];
  ASSERT_EQ(all.size(), 3u) << all.dump(1);
  EXPECT_EQ(all[0]["reason"], "tenant");
  EXPECT_EQ(all[0]["tenant"], "acme");
  EXPECT_EQ(all[0]["method"], "GET /api/v1/tenants/globex/models");
  EXPECT_EQ(all[1]["reason"], "role");
  EXPECT_EQ(all[1]["keyId"], std::string(*KeyIdOf(viewer)));
  EXPECT_EQ(all[2]["reason"], "no_key");
  EXPECT_EQ(all[2]["httpCode"], 401);
  EXPECT_EQ(all[2]["peerAddress"], "127.0.0.1");
  EXPECT_EQ(AskJson("GET", "/api/v1/audit?kind=REFUSALS", key_)["auditRecords"].size(), 2u);
  const std::string id(foreign.headers.Get("x-request-id"));
  EXPECT_EQ(AskJson("GET", "/api/v1/usage:explain?requestId=" + id, key_)["summary"],
            "refused with 404, not charged: tenant; 1 such in its minute");
}

TEST_F(ApiTest, ADatabaseInAFileIsForOneGateway) {
  GatewayConfig config = config_;
  config.data_dir = folder_ / "second";
  std::filesystem::create_directory(config.data_dir);
  Metrics metrics("gateway");
  const auto second = Gateway::Start(config, metrics, Clock::Real());
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("which is for one gateway"));
}

TEST_F(ApiTest, ExportsTheAuditLogLineByLineAndUsageAsCsv) {
  for (int i = 0; i < 5; ++i) AskJson("POST", "/api/v1/tenants/-/models?modelId=m", key_, "{}");
  const Answer lines = Ask("GET", "/api/v1/audit:export?kind=CHANGES", key_);
  EXPECT_EQ(lines.status, 200);
  EXPECT_TRUE(lines.complete);
  EXPECT_EQ(lines.headers.Get("content-type"), "application/x-ndjson");
  std::istringstream text(lines.body);
  int count = 0;
  for (std::string line; std::getline(text, line); ++count) {
    EXPECT_EQ(json::parse(line)["tenant"], "acme") << line;
  }
  EXPECT_EQ(count, 7) << "and the operator made the tenant and the key";
  const Answer csv = Ask("GET", "/api/v1/usage:export", key_);
  EXPECT_EQ(csv.status, 200);
  EXPECT_EQ(csv.headers.Get("content-type"), "text/csv; charset=utf-8");
  EXPECT_THAT(csv.body, StartsWith("id,time,tenant,project,"));
  EXPECT_EQ(Ask("GET", "/api/v1/usage:export?tenant=tenants/globex", key_).status, 404);
  EXPECT_EQ(Ask("GET", "/api/v1/usage:export?startTime=soon", key_).status, 400);
}

TEST_F(ApiTest, TheAuditLogOfAGatewayIsVerifiedAndWhatWasChangedInItIsFound) {
  for (int i = 0; i < 3; ++i) AskJson("POST", "/api/v1/tenants/-/models?modelId=m", key_, "{}");
  AskJson("GET", "/api/v1/audit", key_);  // all is in the database then
  EXPECT_TRUE(VerifyAudit(config_).ok());
  const auto database = sql::Database::Open(config_.database).value();
  ASSERT_TRUE(database
                  ->Write([](sql::Transaction& tx) {
                    return tx.Execute("UPDATE audit_records SET key_id = 'somebody else'").status();
                  })
                  .ok());
  EXPECT_TRUE(absl::IsDataLoss(VerifyAudit(config_)));
}

TEST_F(ApiTest, NoSecretIsInAnyFileMetricOrLaterAnswer) {
  const std::string doomed = MakeKey("acme", "VIEWER");
  const std::string wrong = doomed.substr(0, doomed.size() - 1) + "!";
  Ask("GET", "/api/v1/tenants/-/models", doomed);
  std::string seen = Ask("GET", "/api/v1/tenants/-/models", wrong).body;
  seen += Ask("GET", "/api/v1/tenants/-/models?key=" + doomed, key_).status == 400 ? "" : "?";
  AskJson("POST", fmt::format("/api/v1/tenants/acme/keys/{}:revoke", *KeyIdOf(doomed)), key_);
  seen += Ask("GET", "/api/v1/tenants/-/models", doomed).body;
  seen += Ask("GET", "/api/v1/tenants/-/keys", key_).body;
  seen += Ask("GET", "/api/v1/tenants/-/auditRecords", key_).body;
  seen += metrics_->Text();
  gateway_.reset();
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path())) {
    if (file.is_regular_file()) seen += *ReadFile(file.path().string());
  }
  for (const std::string& key : {doomed, key_, operator_key_}) {
    const std::string secret = key.substr(key.size() - 38, 32);
    EXPECT_THAT(seen, ::testing::Not(HasSubstr(secret)));
  }
}

TEST_F(ApiTest, KeysAndTheirTenantSurviveARestart) {
  gateway_.reset();
  StartGateway();
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/-/models", key_).status, 200);
  EXPECT_EQ(AskJson("GET", "/api/v1/tenants", operator_key_)["tenants"].size(), 1u);
}

TEST_F(ApiTest, ALostPepperIsNotPaperedOver) {
  gateway_.reset();
  std::filesystem::remove(config_.pepper_file);
  Metrics metrics("gateway");
  const auto gateway = Gateway::Start(config_, metrics, Clock::Real());
  EXPECT_EQ(gateway.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(gateway.status().message()), HasSubstr(config_.pepper_file));
}

TEST_F(ApiTest, ARecoveredOperatorKeyWorks) {
  gateway_.reset();
  ASSERT_TRUE(RecoverAdminKey(config_, Clock::Real()).ok());
  const std::string first = operator_key_;
  StartGateway();
  EXPECT_NE(operator_key_, first);
  EXPECT_EQ(AskJson("GET", "/api/v1/platform", operator_key_)["role"], "ROLE_OPERATOR");
  EXPECT_EQ(Ask("GET", "/api/v1/platform", first).status, 200);
}

TEST_F(ApiTest, DeletesATenantThroughAllServicesAndKeepsItsRecords) {
  using identity::v1::PurgeTenantRequest;
  using identity::v1::PurgeTenantResponse;
  Mutex mutex;
  std::vector<std::string> asked;
  for (const char* service : {"ControllerService", "TrainingService", "RegistryService"}) {
    platform_->On(std::string(service) + "/PurgeTenant", [&, service](const auto& message) {
      const auto& request = static_cast<const PurgeTenantRequest&>(message);
      auto content = std::make_shared<PurgeTenantResponse>();
      auto& kind = *content->add_kinds();
      kind.set_kind("things");
      kind.set_count(request.remove() ? 0 : 7);
      content->set_done(request.remove());
      MutexLock lock(mutex);
      asked.push_back(fmt::format("{} {} {}", service, request.tenant(),
                                  request.remove() ? "remove" : "close"));
      return FakePlatform::Reply{.messages = {content}, .status = absl::OkStatus()};
    });
  }
  MakeTenant("globex");
  const std::string other = MakeKey("globex", "OWNER");
  EXPECT_EQ(Ask("DELETE", "/api/v1/tenants/acme", key_).status, 403);

  AskJson("DELETE", "/api/v1/tenants/acme", operator_key_);
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/-", key_).status, 401);
  json deletion;
  WaitFor(
      [&] {
        deletion = AskJson("GET", "/api/v1/tenants/acme/deletion", operator_key_);
        return deletion["state"] == "DONE";
      },
      "the tenant to be deleted");
  {
    MutexLock lock(mutex);
    ASSERT_GE(asked.size(), 6u);
    asked.resize(6);
    EXPECT_THAT(asked,
                ::testing::ElementsAre(
                    "ControllerService tenants/acme close", "ControllerService tenants/acme remove",
                    "TrainingService tenants/acme close", "TrainingService tenants/acme remove",
                    "RegistryService tenants/acme close", "RegistryService tenants/acme remove"));
  }
  const std::string report = deletion["report"];
  EXPECT_THAT(report, HasSubstr("training things 7"));
  EXPECT_THAT(report, HasSubstr("identity keys 1"));
  const json audit = AskJson("GET", "/api/v1/tenants/acme/auditRecords", operator_key_);
  EXPECT_THAT(audit.dump(), HasSubstr("tenants/acme/deletion/sha256:" + Sha256Hex(report)));
  EXPECT_EQ(AskJson("GET", "/api/v1/tenants/acme", operator_key_)["state"], "DELETED");
  // For all but its records it is gone.
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/acme/models", operator_key_).status, 404);
  EXPECT_EQ(Ask("POST", "/api/v1/tenants?tenantId=acme", operator_key_, "{}").status, 409);
  EXPECT_EQ(Ask("GET", "/api/v1/tenants/-", other).status, 200);
}

}  // namespace
}  // namespace slipway::gateway
