// OpenAI's API in front of the real registry: what goes in comes back, and what is refused is
// refused in its form.

#include <cstring>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "tests/integration/gateway/gateway_fixture.h"
#include "tests/integration/http/memory_watch.h"
#include "tests/support/places.h"
#include "tests/support/registry/registry_server.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class OpenAiTest : public GatewayTest {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_.path() / "registry");
    registry_ = std::make_unique<RegistryServer>(trust_, folder_ / "registry",
                                                 folder_ / "run/registry.sock");
    config_.registry = registry_->address();
    StartGateway();
    MakeTenant("acme");
    MakeTenant("globex");
    key_ = MakeKey("acme", "OWNER");
    worker_ = std::make_unique<FakeWorker>(trust_, folder_ / "run/w1.sock");
    RouteTo("acme", "digits", key_, {{3, worker_->address()}});
  }

  static std::string Part(const std::string& head, const std::string& content) {
    return "--xyz\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + content + "\r\n";
  }
  static std::string FilePart(const std::string& content,
                              const std::string& filename = "lines.jsonl") {
    return Part(
        "name=\"file\"; filename=\"" + filename + "\"\r\nContent-Type: application/octet-stream",
        content);
  }
  static std::string Form(const std::string& content, const std::string& purpose = "batch") {
    return Part("name=\"purpose\"", purpose) + FilePart(content) + "--xyz--\r\n";
  }

  Answer PostForm(const std::string& form, const std::string& key) {
    return Ask("POST", "/v1/files", key, form,
               "Content-Type: multipart/form-data; boundary=xyz\r\n");
  }

  json Upload(const std::string& content, const std::string& purpose = "batch") {
    const Answer answer = PostForm(Form(content, purpose), key_);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body, nullptr, false);
  }

  static std::string Line(const std::string& custom_id, double first = 1.5) {
    return json{{"custom_id", custom_id},
                {"method", "POST"},
                {"url", "/v2/models/digits/infer"},
                {"body",
                 {{"inputs",
                   {{{"name", "x"},
                     {"shape", {1, 2}},
                     {"datatype", "FP32"},
                     {"data", {first, 2}}}}}}}}
               .dump() +
           "\n";
  }

  Answer PostBatch(const std::string& file, const std::string& endpoint, const std::string& key) {
    const json body = {{"input_file_id", file},
                       {"endpoint", endpoint},
                       {"completion_window", "24h"},
                       {"metadata", {{"for", "a test"}}}};
    return Ask("POST", "/v1/batches", key, body.dump());
  }

  json WaitForEnd(const std::string& batch) {
    json now;
    WaitFor(
        [&] {
          now = AskJson("GET", "/v1/batches/" + batch, key_);
          return now["status"] == "completed" || now["status"] == "failed" ||
                 now["status"] == "cancelled";
        },
        "the batch to end");
    return now;
  }

  std::unique_ptr<RegistryServer> registry_;
  std::unique_ptr<FakeWorker> worker_;
  std::string key_;
};

TEST_F(OpenAiTest, EachErrorHasItsFourKeysAndSaysWhetherToTryAgain) {
  const std::string viewer = MakeKey("acme", "VIEWER");
  struct {
    const char* method;
    std::string target;
    std::string key;
    std::string body;
    int status;
    const char* type;
  } const cases[] = {
      {"GET", "/v1/models", "", "", 401, "authentication_error"},
      {"GET", "/v1/models", "slw_local_x", "", 401, "authentication_error"},
      {"POST", "/v1/chat/completions", key_, "{}", 404, "invalid_request_error"},
      {"POST", "/v1/embeddings", key_, "{}", 404, "invalid_request_error"},
      {"GET", "/v1/", key_, "", 404, "invalid_request_error"},
      {"GET", "/v1/models/nothing", key_, "", 404, "invalid_request_error"},
      {"GET", "/v1/files/file-nothing", key_, "", 404, "invalid_request_error"},
      {"GET", "/v1/files/%00", key_, "", 400, "invalid_request_error"},
      {"GET", "/v1/batches/batch-nothing", key_, "", 404, "invalid_request_error"},
      {"GET", "/v1/batches/a%2fb", key_, "", 404, "invalid_request_error"},
      {"PUT", "/v1/files", key_, "{}", 405, "invalid_request_error"},
      {"GET", "/v1/files?limit=0", key_, "", 400, "invalid_request_error"},
      {"GET", "/v1/files?order=up", key_, "", 400, "invalid_request_error"},
      {"GET", "/v1/files?colour=red", key_, "", 400, "invalid_request_error"},
      {"POST", "/v1/batches", key_, "[]", 400, "invalid_request_error"},
      {"POST", "/v1/batches", key_, "{", 400, "invalid_request_error"},
      {"POST", "/v1/batches", key_, "{}", 400, "invalid_request_error"},
      {"POST", "/v1/batches", key_, std::string(100'000, ' '), 413, "invalid_request_error"},
      {"POST", "/v1/batches", viewer,
       R"({"input_file_id":"file-x","endpoint":"/v2/models/digits/infer","completion_window":"24h"})",
       404, "invalid_request_error"},
      {"POST", "/v1/files", key_, "x", 400, "invalid_request_error"},
      {"DELETE", "/v1/files/file-nothing", key_, "", 404, "invalid_request_error"},
      {"GET", "/v1/files", operator_key_, "", 400, "invalid_request_error"},
  };
  for (const auto& each : cases) {
    const Answer answer = Ask(each.method, each.target, each.key, each.body);
    EXPECT_EQ(answer.status, each.status) << each.method << " " << each.target << answer.body;
    EXPECT_EQ(answer.headers.Get("content-type"), "application/json") << each.target;
    EXPECT_THAT(std::string(answer.headers.Get("x-request-id")), SizeIs(32)) << each.target;
    const json error = json::parse(answer.body, nullptr, false)["error"];
    for (const char* name : {"message", "type", "param", "code"}) {
      EXPECT_TRUE(error.contains(name)) << each.target << " lacks " << name << ": " << answer.body;
    }
    EXPECT_EQ(error.size(), 4u) << answer.body;
    EXPECT_EQ(error["type"], each.type) << each.target;
  }
  const json named = json::parse(Ask("GET", "/v1/files?limit=0", key_).body)["error"];
  EXPECT_EQ(named["param"], "limit");
  EXPECT_EQ(json::parse(Ask("GET", "/v1/models", "").body)["error"]["code"], "invalid_api_key");

  registry_.reset();
  const Answer away = Ask("GET", "/v1/files", key_);
  EXPECT_EQ(away.status, 503);
  EXPECT_EQ(away.headers.Get("retry-after-ms"), "1000");
  EXPECT_EQ(json::parse(away.body)["error"]["type"], "server_error");
}

TEST_F(OpenAiTest, ModelsAreTheEndpointsOfTheTenant) {
  const json list = AskJson("GET", "/v1/models", MakeKey("acme", "CALLER"));
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["has_more"], false);
  ASSERT_THAT(list["data"], SizeIs(1));
  EXPECT_EQ(list["data"][0]["id"], "digits");
  EXPECT_EQ(list["data"][0]["object"], "model");
  EXPECT_EQ(list["data"][0]["owned_by"], "acme");
  EXPECT_EQ(AskJson("GET", "/v1/models/digits", key_), list["data"][0]);
  const std::string globex = MakeKey("globex", "OWNER");
  EXPECT_THAT(AskJson("GET", "/v1/models", globex)["data"], SizeIs(0));
  AskJson("GET", "/v1/models/digits", globex, "", 404);
}

TEST_F(OpenAiTest, AFileComesBackAsItWent) {
  std::string content;
  for (int i = 0; i < 300'000; ++i) content += static_cast<char>(i * 7);
  content += "\r\n--xy\r\n--xy";  // nearly a boundary
  const json file = Upload(content);
  EXPECT_EQ(file["object"], "file");
  EXPECT_EQ(file["bytes"], content.size());
  EXPECT_EQ(file["filename"], "lines.jsonl");
  EXPECT_EQ(file["purpose"], "batch");
  EXPECT_EQ(file["status"], "processed");
  EXPECT_GT(file["created_at"], 1'700'000'000);
  const std::string id = file["id"];
  EXPECT_EQ(AskJson("GET", "/v1/files/" + id, key_), file);
  const Answer bytes = Ask("GET", "/v1/files/" + id + "/content", key_);
  EXPECT_EQ(bytes.status, 200);
  EXPECT_TRUE(bytes.complete);
  EXPECT_TRUE(bytes.body == content);
  EXPECT_EQ(bytes.headers.Get("content-length"), std::to_string(content.size()));
  EXPECT_EQ(bytes.headers.Get("x-content-type-options"), "nosniff");
  // The other door to the same object.
  EXPECT_EQ(AskJson("GET", "/api/v1/tenants/-/datasets/" + id, key_)["purpose"], "batch");

  const json gone = AskJson("DELETE", "/v1/files/" + id, key_);
  EXPECT_EQ(gone, (json{{"id", id}, {"object", "file"}, {"deleted", true}}));
  for (const char* end : {"", "/content"}) AskJson("GET", "/v1/files/" + id + end, key_, "", 404);
}

TEST_F(OpenAiTest, FilesAreListedByTimeAndByPurpose) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(Upload(std::to_string(i), i == 2 ? "fine-tune" : "batch")["id"]);
    // The clock that ids are made by has milliseconds.
    const absl::Time made = Clock::Real().Now();
    WaitFor([&] { return Clock::Real().Now() > made + absl::Milliseconds(2); }, "the clock");
  }
  // A dataset without a purpose is no file.
  AskJson("POST", "/api/v1/tenants/-/datasets?datasetId=plain", key_,
          json{{"files",
                {{{"path", "a"},
                  {"digest", AskJson("GET", "/api/v1/tenants/-/datasets/" + ids[0],
                                     key_)["files"][0]["digest"]}}}}}
              .dump());
  AskJson("GET", "/v1/files/plain", key_, "", 404);
  AskJson("DELETE", "/v1/files/plain", key_, "", 404);

  const auto list = [&](const std::string& query) {
    const json page = AskJson("GET", "/v1/files" + query, key_);
    std::vector<std::string> found;
    for (const json& file : page["data"]) found.push_back(file["id"]);
    return std::pair(found, page["has_more"].get<bool>());
  };
  const std::vector<std::string> newest_first(ids.rbegin(), ids.rend());
  EXPECT_EQ(list(""), std::pair(newest_first, false));
  EXPECT_EQ(list("?order=asc"), std::pair(ids, false));
  EXPECT_EQ(list("?limit=2"), std::pair(std::vector<std::string>{ids[4], ids[3]}, true));
  EXPECT_EQ(list("?limit=2&after=" + ids[3]),
            std::pair(std::vector<std::string>{ids[2], ids[1]}, true));
  EXPECT_EQ(list("?after=" + ids[1]), std::pair(std::vector<std::string>{ids[0]}, false));
  EXPECT_EQ(list("?purpose=fine-tune"), std::pair(std::vector<std::string>{ids[2]}, false));
  EXPECT_EQ(list("?purpose=vision"), std::pair(std::vector<std::string>{}, false));
}

TEST_F(OpenAiTest, RefusesFormsByTheirField) {
  const std::string purpose = Part("name=\"purpose\"", "batch");
  const std::string end = "--xyz--\r\n";
  struct {
    std::string form;
    std::string message;
  } const cases[] = {
      {purpose + end, "file: is missing"},
      {FilePart("x") + end, "purpose: must be one of"},
      {Part("name=\"purpose\"", "fun") + FilePart("x") + end, "purpose: must be one of"},
      {Part("name=\"purpose\"", std::string(5000, 'p')) + FilePart("x") + end, "purpose: must be"},
      {purpose + FilePart("") + end, "file: must not be empty"},
      {purpose + Part("name=\"file\"", "x") + end, "file: must be a file"},
      {purpose + FilePart("x") + FilePart("y") + end, "file: is not taken here"},
      {purpose + purpose + FilePart("x") + end, "purpose: is not taken here"},
      {purpose + Part("name=\"expires_after[seconds]\"", "1") + end,
       "expires_after[seconds]: is not"},
      {purpose + FilePart("x", std::string(300, 'n')) + end, "file: its name"},
      {purpose + FilePart("x"), "breaks off"},
      {"", "breaks off"},
      {"no form at all", "breaks off"},
      {"--xyz\r\nX: y\r\n\r\nz\r\n" + end, "Content-Disposition"},
      {"--xyz\r\n" + std::string(9000, 'h') + end, "too long"},
  };
  for (const auto& each : cases) {
    const Answer answer = PostForm(each.form, key_);
    EXPECT_EQ(answer.status, 400) << each.form.substr(0, 200);
    EXPECT_THAT(answer.body, HasSubstr(each.message)) << each.form.substr(0, 200);
  }
  EXPECT_EQ(Ask("POST", "/v1/files", key_, "{}", "Content-Type: application/json\r\n").status, 400);
  EXPECT_THAT(AskJson("GET", "/v1/files", key_)["data"], SizeIs(0));
  // A name that would be a path is none, and what browsers and clients send is taken in any order.
  const Answer path = PostForm(FilePart("x", "C:\\tmp\\..\\a b.txt") + purpose + end, key_);
  EXPECT_EQ(json::parse(path.body)["filename"], "a b.txt") << path.body;
}

TEST_F(OpenAiTest, LargeFilesStreamThroughInFlatMemory) {
  constexpr size_t kBytes = size_t{96} << 20;
  const std::string head = Part("name=\"purpose\"", "user_data") + FilePart("");
  const std::string begin = head.substr(0, head.size() - 2);  // without the end of the content
  const std::string end = "\r\n--xyz--\r\n";
  http::RawPeer peer(gateway_->address());
  peer.Send(
      fmt::format("POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n"
                  "Content-Type: multipart/form-data; boundary=xyz\r\n"
                  "Content-Length: {}\r\n\r\n{}",
                  key_, begin.size() + kBytes + end.size(), begin));
  const std::string piece(1 << 20, 'z');
  http::MemoryWatch memory;
  for (size_t sent = 0; sent < kBytes; sent += piece.size()) {
    ASSERT_TRUE(peer.Send(piece));
    memory.Look();
  }
  const Answer answer = peer.Ask(end);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["bytes"], kBytes);
  EXPECT_LT(memory.growth(), 32u << 20);
}

TEST_F(OpenAiTest, ABatchIsAnsweredBilledAndListed) {
  worker_->OnInfer([](const auto& request, auto& response) {
    float first = 0;
    std::memcpy(&first, request.raw_input_contents(0).data(), sizeof(first));
    if (first == 1300) return absl::InvalidArgumentError("1300 is no good");
    EXPECT_GT(request.parameters().at("priority").int64_param(), 1000);
    EchoTensors(request, response);
    return absl::OkStatus();
  });
  std::string lines = Line("bad", 1300) + "nonsense\n";
  for (int i = 0; i < 40; ++i) lines += Line(fmt::format("c{}", i), i * 0.5);
  const std::string file = Upload(lines)["id"];
  const Answer made = PostBatch(file, "/v2/models/digits/infer", key_);
  ASSERT_EQ(made.status, 200) << made.body;
  const json batch = json::parse(made.body);
  EXPECT_EQ(batch["object"], "batch");
  EXPECT_EQ(batch["status"], "validating");
  EXPECT_EQ(batch["completion_window"], "24h");
  EXPECT_EQ(batch["expires_at"].get<int64_t>() - batch["created_at"].get<int64_t>(), 86400);
  EXPECT_EQ(batch["metadata"]["for"], "a test");

  const json ended = WaitForEnd(batch["id"]);
  EXPECT_EQ(ended["status"], "completed") << ended;
  EXPECT_EQ(ended["request_counts"], (json{{"total", 42}, {"completed", 40}, {"failed", 2}}));
  EXPECT_EQ(ended["errors"], nullptr);
  const auto lines_of = [&](const json& id) {
    const Answer bytes =
        Ask("GET", fmt::format("/v1/files/{}/content", id.get<std::string>()), key_);
    std::vector<json> read;
    std::istringstream text(bytes.body);
    for (std::string line; std::getline(text, line);) read.push_back(json::parse(line));
    return read;
  };
  const auto output = lines_of(ended["output_file_id"]);
  ASSERT_THAT(output, SizeIs(40));
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(output[i]["custom_id"], fmt::format("c{}", i));
    EXPECT_EQ(output[i]["response"]["status_code"], 200);
    EXPECT_EQ(output[i]["response"]["body"]["outputs"][0]["data"][0], i * 0.5);
    EXPECT_EQ(output[i]["response"]["body"]["model_name"], "digits");
  }
  const auto errors = lines_of(ended["error_file_id"]);
  ASSERT_THAT(errors, SizeIs(2));
  EXPECT_EQ(errors[0]["custom_id"], "bad");
  EXPECT_EQ(errors[0]["response"]["status_code"], 400);
  EXPECT_EQ(errors[1]["error"]["code"], "invalid_line");
  EXPECT_EQ(
      AskJson("GET", "/v1/files/" + ended["output_file_id"].get<std::string>(), key_)["purpose"],
      "batch_output");

  // One row a line that was answered, by its id, like any call's.
  const json rows =
      AskJson("GET", "/api/v1/tenants/-/usageRecords?pageSize=1000", key_)["usageRecords"];
  ASSERT_THAT(rows, SizeIs(40));
  std::set<std::string> ids;
  for (const json& row : rows) {
    EXPECT_EQ(row["kind"], "inference");
    EXPECT_EQ(row["resource"], "tenants/acme/deployments/digits");
    EXPECT_EQ(row["httpCode"], 200);
    EXPECT_EQ(row["broken"], false);
    EXPECT_THAT(row["requestId"], ::testing::StartsWith(batch["id"].get<std::string>()));
    ids.insert(row["requestId"]);
  }
  EXPECT_THAT(ids, SizeIs(40));

  EXPECT_EQ(AskJson("GET", "/v1/batches", key_)["data"][0], ended);
  const json second = json::parse(PostBatch(file, "/v2/models/digits/versions/3/infer", key_).body);
  const json page = AskJson("GET", "/v1/batches?limit=1", key_);
  EXPECT_EQ(page["data"][0]["id"], second["id"]);
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(
      AskJson("GET", "/v1/batches?after=" + second["id"].get<std::string>(), key_)["data"][0]["id"],
      batch["id"]);
  // The lines call another path than that batch's.
  EXPECT_EQ(WaitForEnd(second["id"])["request_counts"]["failed"], 42);
}

TEST_F(OpenAiTest, TheExamplePredictsAFile) {
  std::string rows;
  for (int i = 0; i < 12; ++i) rows += json::parse(Line("x", i))["body"].dump() + "\n";
  ASSERT_TRUE(WriteFileAtomically(folder_ / "rows.jsonl", rows, 0600).ok());
  LocalProcessLauncher launcher;
  ProcessSpec spec;
  spec.program = "/bin/bash";
  spec.args = {SourceFile("examples/batch/predict"), "digits", folder_ / "rows.jsonl"};
  spec.env["SLIPWAY_URL"] = "http://" + gateway_->address();
  spec.env["SLIPWAY_API_KEY"] = key_;
  spec.log_file = folder_ / "example.log";
  auto process = launcher.Launch(spec);
  ASSERT_TRUE(process.ok()) << process.status();
  const auto exit = (*process)->Wait(absl::Minutes(2));
  const std::string output = ReadFile(folder_ / "example.log").value_or("");
  ASSERT_TRUE(exit.ok() && exit->ok()) << output;
  EXPECT_THAT(output, HasSubstr("completed: 12 of 12"));
  EXPECT_THAT(output, HasSubstr(R"({"row":"row-12",)"));
  EXPECT_THAT(output, HasSubstr(R"("data":[11,2])"));
}

TEST_F(OpenAiTest, WhatCannotBeABatchIsRefusedAtOnce) {
  const std::string file = Upload(Line("a"))["id"];
  const std::string other = Upload("x", "fine-tune")["id"];
  const auto refused = [&](const Answer& answer, int status, const std::string& text) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr(text));
  };
  for (const char* endpoint : {"/v1/chat/completions", "/v1/embeddings", "/v1/completions",
                               "/v1/responses", "/v2/models/digits", "/v2/models/../x/infer"}) {
    const Answer answer = PostBatch(file, endpoint, key_);
    refused(answer, 400, "there are no batches for");
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], "endpoint");
  }
  refused(PostBatch(other, "/v2/models/digits/infer", key_), 400, "not uploaded for batches");
  refused(PostBatch("file-nothing", "/v2/models/digits/infer", key_), 404, "file-nothing");
  refused(PostBatch(file, "/v2/models/digits/infer", MakeKey("globex", "OWNER")), 404, file);
  refused(PostBatch(file, "/v2/models/digits/infer", MakeKey("acme", "VIEWER")), 403, "role");
  refused(PostBatch(file, "/v2/models/digits/infer", MakeKey("acme", "CALLER")), 403, "role");
  refused(Ask("POST", "/v1/batches", key_,
              R"({"input_file_id":")" + file +
                  R"(","endpoint":"/v2/models/digits/infer","completion_window":"1s"})"),
          400, "completion_window: must be 1 minute");
  refused(Ask("POST", "/v1/batches", key_,
              R"({"input_file_id":")" + file +
                  R"(","endpoint":"/v2/models/digits/infer","completion_window":"24h","n":1})"),
          400, "n: is not supported");
  EXPECT_THAT(AskJson("GET", "/v1/batches", key_)["data"], SizeIs(0));
}

TEST_F(OpenAiTest, ABatchThatWaitsForAWorkerIsCancelled) {
  const std::string file = Upload(Line("a") + Line("b"))["id"];
  SetRoutes({Route("acme", "digits", {{3, ""}})});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/ready", key_).status == 503; }, "no worker");
  const json batch = json::parse(PostBatch(file, "/v2/models/digits/infer", key_).body);
  const std::string target = "/v1/batches/" + batch["id"].get<std::string>();
  WaitFor([&] { return AskJson("GET", target, key_)["status"] == "in_progress"; }, "its start");
  AskJson("POST", target + "/cancel", MakeKey("globex", "OWNER"), "", 404);
  AskJson("POST", target + "/cancel", MakeKey("acme", "VIEWER"), "", 403);
  AskJson("POST", target + "/cancel", key_);
  const json ended = WaitForEnd(batch["id"]);
  EXPECT_EQ(ended["status"], "cancelled");
  EXPECT_NE(ended["cancelled_at"], nullptr);
  EXPECT_EQ(ended["output_file_id"], nullptr);
}

TEST_F(OpenAiTest, ARevokedKeyEndsItsBatch) {
  const std::string second = MakeKey("acme", "DEVELOPER");
  const std::string file = Upload(Line("a"))["id"];
  SetRoutes({Route("acme", "digits", {{3, ""}})});
  WaitFor([&] { return Ask("GET", "/v2/models/digits/ready", key_).status == 503; }, "no worker");
  const json batch = json::parse(PostBatch(file, "/v2/models/digits/infer", second).body);
  const json keys = AskJson("GET", "/api/v1/tenants/-/keys", key_)["apiKeys"];
  for (const json& key : keys) {
    if (key["role"] == "ROLE_DEVELOPER") {
      AskJson("POST", "/api/v1/" + key["name"].get<std::string>() + ":revoke", key_);
    }
  }
  const json ended = WaitForEnd(batch["id"]);
  EXPECT_EQ(ended["status"], "failed");
  EXPECT_EQ(ended["errors"]["data"][0]["code"], "key_not_usable");
}

}  // namespace
}  // namespace slipway::gateway
