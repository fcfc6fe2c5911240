// What is wrong gets a clear answer that names the field, over the real gateway, and harms nobody.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;

// A connection without a client library between.
class RawConnection {
 public:
  explicit RawConnection(const std::string& address) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }
  ~RawConnection() { ::close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  // False when the peer takes no more.
  bool Write(const std::string& bytes) {
    return ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  // Everything until the peer closes; what came so far where it does not within `limit`.
  std::string ReadToEnd(absl::Duration limit) {
    std::string out;
    const Clock& clock = Clock::Real();
    const absl::Duration end = clock.Monotonic() + limit;
    for (;;) {
      const int left = static_cast<int>(absl::ToInt64Milliseconds(end - clock.Monotonic()));
      pollfd watched{socket_, POLLIN, 0};
      if (left <= 0 || ::poll(&watched, 1, left) <= 0) return out;
      char bytes[4096];
      const ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
      if (got <= 0) {
        closed_ = true;
        return out;
      }
      out.append(bytes, static_cast<size_t>(got));
    }
  }
  bool closed() const { return closed_; }

 private:
  const int socket_;
  bool closed_ = false;
};

class BadInputTest : public ::testing::Test {
 protected:
  // One platform for all: nothing here may harm it.
  static void SetUpTestSuite() {
    platform_ = new Platform();
    ASSERT_TRUE(platform_->Start().ok()) << platform_->Logs();
    world_ = new World(*platform_, "acme");
    ASSERT_TRUE(world_->status().ok()) << world_->status() << platform_->Logs();
    const auto job = world_->Train("first", PictureSpec(5));
    ASSERT_TRUE(job.ok()) << job.status() << platform_->Logs();
    ASSERT_EQ((*job)["state"], "SUCCEEDED") << *job << platform_->Logs();
    const absl::Status deployed = world_->Deploy("halves", (*job)["modelVersion"]);
    ASSERT_TRUE(deployed.ok()) << deployed << platform_->Logs();
    pids_.clear();
    for (const char* name : kServices) pids_.push_back(platform_->PidOf(name));
  }

  static void TearDownTestSuite() {
    delete world_;
    delete platform_;
  }

  void TearDown() override {
    // Nothing died of it, and it all still works.
    for (size_t i = 0; i < pids_.size(); ++i) {
      EXPECT_EQ(platform_->PidOf(kServices[i]), pids_[i]) << kServices[i];
    }
    EXPECT_TRUE(world_->Predict("halves").ok());
    if (HasFailure()) std::cerr << platform_->Logs();
  }

  static std::string FieldOf(const Answer& answer) {
    return answer.json().value("error", json::object()).value("field", "");
  }
  static std::string MessageOf(const Answer& answer) {
    return answer.json().value("error", json::object()).value("message", "");
  }

  // Submits a spec that is taken, and answers how its job failed.
  std::string FailureOf(const std::string& job_id, const json& spec) {
    const auto job = world_->Train(job_id, spec);
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok()) return "";
    EXPECT_EQ((*job)["state"], "FAILED") << *job;
    return job->value("error", "");
  }

  static constexpr const char* kServices[] = {"gateway", "registry", "training", "controller",
                                              "worker"};
  static Platform* platform_;
  static World* world_;
  static std::vector<int64_t> pids_;
};

Platform* BadInputTest::platform_ = nullptr;
World* BadInputTest::world_ = nullptr;
std::vector<int64_t> BadInputTest::pids_;

TEST_F(BadInputTest, AMalformedSpecIsRefusedByField) {
  struct Row {
    const char* pointer;
    json value;
    const char* field;
  };
  const Row table[] = {
      {"/optimizer/learning_rate", -1, "spec.optimizer.learning_rate"},
      {"/optimizer/type", "magic", "spec.optimizer.type"},
      {"/optimizer/momentm", 0.9, "spec.optimizer.momentm"},
      {"/loss/type", "hinge", "spec.loss.type"},
      {"/architecture/type", "nonsense", "spec.architecture.type"},
      {"/architecture/hidden", {64, 0}, "spec.architecture.hidden[1]"},
      {"/training/epochs", 0, "spec.training.epochs"},
      {"/training/batch_size", -5, "spec.training.batch_size"},
      {"/data/format", "xlsx", "spec.data.format"},
      {"/data/train/inputs", "no-such-file", "spec.data.train.inputs"},
      {"/data/train/inputs", "../../etc/passwd", "spec.data.train.inputs"},
      {"/dataset", "no-such-dataset", "spec.dataset"},
      {"/model", "Not A Slug", "spec.model"},
      {"/evaluation/at_least", {{"beauty", 0.5}}, "spec.evaluation.at_least.beauty"},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(std::string(row.pointer) + " = " + row.value.dump());
    json spec = PictureSpec(1);
    spec[json::json_pointer(row.pointer)] = row.value;
    const Answer answer = world_->owner().Post(world_->Path("jobs"), {{"spec", spec}});
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(FieldOf(answer), row.field) << answer.body;
    EXPECT_FALSE(answer.request_id.empty());
  }
}

TEST_F(BadInputTest, WhatIsNoSpecAtAllIsRefused) {
  const http::Headers headers = {{"Content-Type", "application/json"}};
  for (const char* body :
       {"", "{", "[]", "42", "\"spec\"", "null", "{\"spec\": []}", "{\"spec\": {\"model\": 7}}",
        "{\"spek\": {}}", "{\"spec\": {\"modle\": \"x\"}}", "{\"spec\": {}, \"spec\": {}}",
        "{\"spec\": {\"training\": {\"epochs\": 1e999}}}",
        "{\"spec\": {\"training\": {\"epochs\": 99999999999}}}",
        "{\"spec\": {\"training\": {\"epochs\": 1.5}}}", "\xff\xfe",
        "{\"spec\": {\"model\": \"\xff\"}}"}) {
    const Answer answer = world_->owner().Send("POST", world_->Path("jobs"), body, headers);
    EXPECT_EQ(answer.status, 400) << body << ": " << answer.body;
    EXPECT_FALSE(MessageOf(answer).empty()) << answer.body;
  }
  // A million brackets deep.
  const Answer deep =
      world_->owner().Send("POST", world_->Path("jobs"), std::string(1'000'000, '['), headers);
  EXPECT_EQ(deep.status, 400) << deep.body.substr(0, 200);
}

TEST_F(BadInputTest, BrokenDataFailsTheJobByFileAndReason) {
  const Pictures good = MakePictures(64, 3);
  const std::string images = good.images;
  struct Row {
    const char* id;
    std::string images;
    std::string labels;
    const char* error;
  };
  std::string negative_count = images;
  negative_count[4] = '\xff';
  std::string wrong_magic = images;
  wrong_magic[2] = 0x42;
  const Row table[] = {
      {"truncated", images.substr(0, images.size() - 10), good.labels, "train-images"},
      {"header-only", images.substr(0, 7), good.labels, "train-images"},
      {"empty", "", good.labels, "train-images"},
      {"too-long", images + "x", good.labels, "train-images"},
      {"huge-count", negative_count, good.labels, "train-images"},
      {"no-idx", wrong_magic, good.labels, "train-images"},
      {"fewer-labels", images, MakePictures(63, 3).labels, "train-labels"},
      {"strange-label", images, IdxFile({64}, std::string(64, '\x09')), "label"},
      {"labels-of-two-dimensions", images, IdxFile({32, 2}, std::string(64, '\0')), "train-labels"},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.id);
    const absl::Status made = world_->MakeDataset(row.id, {{"train-images", row.images},
                                                           {"train-labels", row.labels},
                                                           {"test-images", good.images},
                                                           {"test-labels", good.labels}});
    ASSERT_TRUE(made.ok()) << made;
    json spec = PictureSpec(1);
    spec["dataset"] = row.id;
    EXPECT_THAT(FailureOf(row.id, spec), HasSubstr(row.error));
  }
}

TEST_F(BadInputTest, AnArchitectureThatDoesNotFitFailsTheJobByField) {
  json spec = PictureSpec(1);
  // Eight rounds of halving do not fit pictures of 8 x 8.
  spec["architecture"] = {{"type", "cnn"}, {"channels", {4, 4, 4, 4, 4, 4, 4, 4}}};
  EXPECT_THAT(FailureOf("too-deep", spec), HasSubstr("spec.architecture"));
}

TEST_F(BadInputTest, AWrongDigestIsRefusedAndNothingIsKept) {
  const std::string bytes = "some bytes";
  const std::string wrong = "sha256:" + Sha256Hex("other bytes");
  const http::Headers headers = {{"Content-Type", "application/octet-stream"}};
  const Answer answer =
      world_->owner().Send("POST", world_->Path("blobs"), bytes, headers, {{"digest", wrong}});
  EXPECT_EQ(answer.status, 400) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("digest"));
  EXPECT_EQ(world_->owner().Get(world_->Path("blobs/" + wrong)).status, 404);
  EXPECT_EQ(world_->owner().Get(world_->Path("blobs/sha256:" + Sha256Hex(bytes))).status, 404);
  const Answer none =
      world_->owner().Send("POST", world_->Path("blobs"), bytes, headers, {{"digest", "md5:1"}});
  EXPECT_EQ(none.status, 400) << none.body;
  EXPECT_EQ(FieldOf(none), "digest") << none.body;
}

TEST_F(BadInputTest, ADatasetOfBlobsThatAreNotThereIsRefused) {
  const json body = {{"files", {{{"path", "x"}, {"digest", "sha256:" + Sha256Hex("never sent")}}}}};
  const Answer answer =
      world_->owner().Post(world_->Path("datasets"), body, {{"datasetId", "ghost"}});
  EXPECT_EQ(answer.status, 400) << answer.body;
  EXPECT_THAT(FieldOf(answer), HasSubstr("files[0].digest")) << answer.body;
}

TEST_F(BadInputTest, AnInputThatDoesNotFitTheSignatureIsRefused) {
  const auto infer = [&](json input) {
    return world_->owner().Post("/v2/models/halves/infer", {{"inputs", {std::move(input)}}});
  };
  const json zeros = json(std::vector<int>(64, 0));
  const json good = {
      {"name", "image"}, {"datatype", "UINT8"}, {"shape", {1, 8, 8}}, {"data", zeros}};
  ASSERT_EQ(infer(good).status, 200) << infer(good).body;
  const auto with = [&](const char* key, json value) {
    json input = good;
    input[key] = std::move(value);
    return input;
  };
  for (const json& input :
       {with("shape", {1, 7, 8}), with("shape", {1, 64}), with("shape", {2, 8, 8}),
        with("shape", {-1, 8, 8}), with("shape", {0, 8, 8}), with("shape", {1, 8, 8, 1}),
        with("shape", {9223372036854775807, 8, 8}), with("data", json::array()),
        with("data", json(std::vector<int>(63, 0))), with("data", json(std::vector<int>(64, 256))),
        with("data", json(std::vector<int>(64, -1))), with("data", "AAAA"),
        with("datatype", "FP32"), with("datatype", "COMPLEX"), with("name", "picture")}) {
    const Answer answer = infer(input);
    EXPECT_EQ(answer.status, 400) << input.dump().substr(0, 120) << ": " << answer.body;
    EXPECT_FALSE(answer.json().value("error", "").empty()) << answer.body;
  }
  EXPECT_EQ(world_->owner().Post("/v2/models/halves/infer", json::object()).status, 400);
  EXPECT_EQ(world_->owner().Post("/v2/models/nothing/infer", {{"inputs", {good}}}).status, 404);
}

TEST_F(BadInputTest, WithoutAKeyThereIsNothing) {
  for (const char* key : {"", "slw_nonsense", "Bearer", "slw_"}) {
    const Caller nobody = platform_->As(key);
    EXPECT_EQ(nobody.Get(world_->Path("jobs")).status, 401) << key;
    EXPECT_EQ(nobody.Get("/v2/models/halves").status, 401) << key;
    EXPECT_EQ(nobody.Post("/v2/models/halves/infer", json::object()).status, 401) << key;
  }
  EXPECT_EQ(platform_->As("").Get("/v2/health/live").status, 200);
}

TEST_F(BadInputTest, AnotherTenantSeesNothing) {
  const World rival(*platform_, "rival");
  ASSERT_TRUE(rival.status().ok()) << rival.status();
  const std::string job = world_->Path("jobs/first");
  EXPECT_EQ(rival.owner().Get(job).status, 404);
  EXPECT_EQ(rival.owner().Post(job + ":cancel", json::object()).status, 404);
  EXPECT_EQ(rival.owner().Get(world_->Path("datasets/halves")).status, 404);
  EXPECT_EQ(rival.owner().Get(world_->Path("models/halves/versions/1")).status, 404);
  EXPECT_EQ(rival.owner().Get(world_->Path("usageRecords")).status, 404);
  EXPECT_EQ(rival.owner().Get("/v2/models/halves").status, 404);
  // The very answer that an absent one gets, but for its name.
  const auto without_ids = [](Answer answer) {
    json body = answer.json();
    body["error"].erase("requestId");
    return body.dump();
  };
  const std::string theirs = without_ids(rival.owner().Get(job));
  std::string absent = without_ids(rival.owner().Get(rival.Path("jobs/first")));
  for (size_t at; (at = absent.find("tenants/rival")) != std::string::npos;) {
    absent.replace(at, 13, "tenants/acme");
  }
  EXPECT_EQ(theirs, absent);
}

// ---- Bytes. ----

TEST_F(BadInputTest, AnOversizedBodyIsRefusedBeforeItIsSent) {
  RawConnection connection(platform_->address());
  ASSERT_TRUE(connection.Write(
      fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n"
                  "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
                  world_->Path("jobs"), world_->key())));
  EXPECT_THAT(connection.ReadToEnd(absl::Seconds(15)), HasSubstr("HTTP/1.1 413"));
}

TEST_F(BadInputTest, AnEndlessHeaderIsCutOff) {
  RawConnection connection(platform_->address());
  ASSERT_TRUE(connection.Write("GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"));
  const std::string line = "X-Filler: " + std::string(1000, 'x') + "\r\n";
  for (int i = 0; i < 1000 && connection.Write(line); ++i) {
  }
  EXPECT_THAT(connection.ReadToEnd(absl::Seconds(15)), AnyOf(HasSubstr("HTTP/1.1 431"), Eq("")));
  EXPECT_TRUE(connection.closed());
}

TEST_F(BadInputTest, AHalfSentHeaderIsNotWaitedForLong) {
  std::vector<std::unique_ptr<RawConnection>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<RawConnection>(platform_->address()));
    ASSERT_TRUE(slow.back()->Write("POST /api/v1/tenants/acme/jobs HTTP/1.1\r\nHost: x\r\nAuthor"));
  }
  // Others are served meanwhile.
  EXPECT_TRUE(world_->Predict("halves").ok());
  for (auto& connection : slow) {
    const std::string answer = connection->ReadToEnd(absl::Seconds(20));
    EXPECT_TRUE(connection->closed());
    EXPECT_THAT(answer, AnyOf(HasSubstr("HTTP/1.1 408"), Eq("")));
  }
}

TEST_F(BadInputTest, SmugglingFormsAreRefused) {
  const std::string head = "POST /v2/models/halves/infer HTTP/1.1\r\nHost: x\r\n";
  for (const std::string& rest :
       {std::string("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        std::string("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        std::string("Content-Length: -1\r\n\r\n"),
        std::string("Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
        std::string("Bad Name: x\r\n\r\n"), std::string("X: a\x01z\r\n\r\n")}) {
    RawConnection connection(platform_->address());
    ASSERT_TRUE(connection.Write(head + rest));
    EXPECT_THAT(connection.ReadToEnd(absl::Seconds(15)),
                AnyOf(HasSubstr("HTTP/1.1 400"), HasSubstr("HTTP/1.1 401")))
        << rest;
    EXPECT_TRUE(connection.closed()) << rest;
  }
}

}  // namespace
}  // namespace slipway::e2e
