#include "services/training/trainer/grpc_attempt_host.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/grpc/client.h"
#include "common/grpc/server.h"
#include "common/grpc/status.h"
#include "common/sync/mutex.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "slipway/registry/v1/registry.grpc.pb.h"
#include "slipway/training/v1/training.grpc.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The calls of registry and training that a trainer makes. Each call first takes the next of
// `failures`, if there is one.
class FakePlatform final {
 public:
  class Registry final : public registry::v1::RegistryService::Service {
   public:
    explicit Registry(FakePlatform& platform) : platform_(platform) {}
    grpc::Status DownloadBlob(grpc::ServerContext* context,
                              const registry::v1::DownloadBlobRequest* request,
                              grpc::ServerWriter<google::api::HttpBody>* writer) override {
      if (const absl::Status status = platform_.Enter(*context); !status.ok()) {
        return ToGrpcStatus(status);
      }
      MutexLock lock(platform_.mutex);
      ++platform_.downloads;
      const auto blob = platform_.blobs.find(request->name());
      if (blob == platform_.blobs.end()) return ToGrpcStatus(NotFound(request->name()));
      for (size_t at = 0; at < blob->second.size(); at += 1000) {
        google::api::HttpBody piece;
        piece.set_data(blob->second.substr(at, 1000));
        writer->Write(piece);
      }
      return grpc::Status::OK;
    }
    grpc::Status UploadBlob(grpc::ServerContext* context,
                            grpc::ServerReader<registry::v1::UploadBlobRequest>* reader,
                            registry::v1::Blob*) override {
      if (const absl::Status status = platform_.Enter(*context); !status.ok()) {
        return ToGrpcStatus(status);
      }
      registry::v1::UploadBlobRequest request;
      std::string name;
      std::string content;
      while (reader->Read(&request)) {
        if (name.empty()) name = request.parent() + "/blobs/" + request.digest();
        content += request.content().data();
      }
      MutexLock lock(platform_.mutex);
      platform_.blobs[name] = content;
      return grpc::Status::OK;
    }

   private:
    FakePlatform& platform_;
  };

  class Training final : public training::v1::AttemptService::Service {
   public:
    explicit Training(FakePlatform& platform) : platform_(platform) {}
    grpc::Status ReportEvents(grpc::ServerContext* context,
                              const training::v1::ReportEventsRequest* request,
                              training::v1::ReportEventsResponse* response) override {
      if (const absl::Status status = platform_.Enter(*context); !status.ok()) {
        return ToGrpcStatus(status);
      }
      MutexLock lock(platform_.mutex);
      for (const auto& event : request->events()) platform_.logs.push_back(event.log().text());
      response->set_stop(platform_.stop);
      return grpc::Status::OK;
    }
    grpc::Status CompleteAttempt(grpc::ServerContext* context,
                                 const training::v1::CompleteAttemptRequest* request,
                                 google::protobuf::Empty*) override {
      if (const absl::Status status = platform_.Enter(*context); !status.ok()) {
        return ToGrpcStatus(status);
      }
      MutexLock lock(platform_.mutex);
      platform_.completed = *request;
      return grpc::Status::OK;
    }
    grpc::Status FailAttempt(grpc::ServerContext* context,
                             const training::v1::FailAttemptRequest* request,
                             google::protobuf::Empty*) override {
      if (const absl::Status status = platform_.Enter(*context); !status.ok()) {
        return ToGrpcStatus(status);
      }
      MutexLock lock(platform_.mutex);
      platform_.failed = *request;
      return grpc::Status::OK;
    }

   private:
    FakePlatform& platform_;
  };

  absl::Status Enter(const grpc::ServerContext& context) {
    MutexLock lock(mutex);
    const auto token = context.client_metadata().find(kTokenMetadata);
    if (token == context.client_metadata().end() || token->second != "the-token") {
      return absl::UnauthenticatedError("no token");
    }
    ++calls;
    if (failures.empty()) return absl::OkStatus();
    const absl::Status status = failures.front();
    failures.pop_front();
    return status;
  }

  Mutex mutex;
  std::map<std::string, std::string> blobs;
  std::deque<absl::Status> failures;
  std::vector<std::string> logs;
  bool stop = false;
  int calls = 0;
  int downloads = 0;
  training::v1::CompleteAttemptRequest completed;
  training::v1::FailAttemptRequest failed;
};

// Sleeping only moves it on.
class ImpatientClock final : public Clock {
 public:
  absl::Time Now() const override { return Clock::Real().Now(); }
  absl::Duration Monotonic() const override { return fake_.Monotonic(); }
  void SleepFor(absl::Duration time) const override { fake_.Advance(time); }
  void Advance(absl::Duration time) { fake_.Advance(time); }

 private:
  mutable FakeClock fake_;
};

class GrpcAttemptHostTest : public ::testing::Test {
 protected:
  GrpcAttemptHostTest() : registry_(platform_), training_(platform_) {
    GrpcServerOptions options;
    options.address = "unix:" + folder_ / "run/platform.sock";
    server_ = GrpcServer::Start(options, {&registry_, &training_}).value();
    EXPECT_TRUE(WriteFileAtomically(folder_ / "token", "the-token\n").ok());
    attempt_.set_job("tenants/acme/jobs/j1");
    attempt_.set_attempt(2);
    attempt_.set_cache_dir(folder_ / "cache");
    attempt_.set_max_cache_bytes(1 << 20);
    attempt_.set_registry_address(server_->address());
    attempt_.set_training_address(server_->address());
    attempt_.set_token_file(folder_ / "token");
    attempt_.mutable_dataset()->set_name("tenants/acme/datasets/d");
  }
  ~GrpcAttemptHostTest() override { server_->Drain(absl::ZeroDuration()); }

  // Puts a file into the dataset; the registry sends `sent` for it.
  void AddFile(const std::string& path, const std::string& content, const std::string& sent) {
    registry::v1::File* file = attempt_.mutable_dataset()->add_files();
    file->set_path(path);
    file->set_digest("sha256:" + Sha256Hex(content));
    file->set_size_bytes(std::ssize(content));
    platform_.blobs["tenants/acme/blobs/" + file->digest()] = sent;
  }
  void AddBaseFile(const std::string& path, const std::string& content) {
    attempt_.mutable_base()->set_name("tenants/acme/models/m/versions/3");
    registry::v1::File* file = attempt_.mutable_base()->mutable_artifact()->add_files();
    file->set_path(path);
    file->set_digest("sha256:" + Sha256Hex(content));
    file->set_size_bytes(std::ssize(content));
    platform_.blobs["tenants/acme/blobs/" + file->digest()] = content;
  }
  std::unique_ptr<GrpcAttemptHost> Open() {
    return GrpcAttemptHost::Create({.attempt = attempt_, .tls = {}}, clock_).value();
  }
  static training::v1::Event Log(const std::string& text) {
    training::v1::Event event;
    event.mutable_log()->set_text(text);
    return event;
  }

  TempDir folder_;
  FakePlatform platform_;
  FakePlatform::Registry registry_;
  FakePlatform::Training training_;
  std::unique_ptr<GrpcServer> server_;
  ImpatientClock clock_;
  training::v1::Attempt attempt_;
};

TEST_F(GrpcAttemptHostTest, FetchesAFileOnceForAllAttempts) {
  const std::string content(123'456, 'x');
  AddFile("images", content, content);
  const auto path = Open()->FetchFile("images");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(ReadFile(*path).value(), content);
  EXPECT_EQ(Open()->FetchFile("images").value(), *path);
  EXPECT_EQ(platform_.downloads, 1);
}

TEST_F(GrpcAttemptHostTest, FetchesAgainWhatTheDiskHasSpoilt) {
  AddFile("images", "content", "content");
  const std::string path = Open()->FetchFile("images").value();
  std::filesystem::resize_file(path, 3);
  EXPECT_EQ(ReadFile(Open()->FetchFile("images").value()).value(), "content");
  EXPECT_EQ(platform_.downloads, 2);
}

TEST_F(GrpcAttemptHostTest, RefusesBytesOfAnotherDigestOrLength) {
  AddFile("changed", "content", "CONTENT");
  AddFile("short", "content 2", "content");
  AddFile("long", "content 3", "content 3 and more");
  for (const std::string path : {"changed", "short", "long"}) {
    const absl::Status status = Open()->FetchFile(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << path << ": " << status;
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "cache")) {
    files += entry.is_regular_file() && entry.path().filename() != ".lock";
  }
  EXPECT_EQ(files, 0u) << "something of them stayed";
}

TEST_F(GrpcAttemptHostTest, SaysWhichFileTheDatasetLacks) {
  const absl::Status status = Open()->FetchFile("images").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "tenants/acme/datasets/d has no file images");
}

TEST_F(GrpcAttemptHostTest, FetchesFilesOfItsBase) {
  AddFile("architecture.json", "the dataset's", "the dataset's");
  AddBaseFile("architecture.json", "the base's");
  const auto path = Open()->FetchBaseFile("architecture.json");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(ReadFile(*path).value(), "the base's");
  EXPECT_EQ(
      Open()->FetchBaseFile("model.safetensors").status(),
      absl::InvalidArgumentError("tenants/acme/models/m/versions/3 has no file model.safetensors"));
}

TEST_F(GrpcAttemptHostTest, WaitsForARegistryThatRestarts) {
  AddFile("images", "content", "content");
  platform_.failures = {absl::UnavailableError("restarting"), absl::UnavailableError("restarting")};
  EXPECT_TRUE(Open()->FetchFile("images").ok());
}

TEST_F(GrpcAttemptHostTest, GivesUpWhenPatienceIsOver) {
  AddFile("images", "content", "content");
  platform_.failures.assign(1000, absl::UnavailableError("gone"));
  const absl::Duration start = clock_.Monotonic();
  EXPECT_EQ(Open()->FetchFile("images").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(clock_.Monotonic() - start, absl::Minutes(9));
  EXPECT_LT(clock_.Monotonic() - start, absl::Minutes(11));
}

TEST_F(GrpcAttemptHostTest, ARefusalIsNotRepeated) {
  AddFile("images", "content", "content");
  platform_.failures = {absl::PermissionDeniedError("not yours")};
  EXPECT_EQ(Open()->FetchFile("images").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(platform_.calls, 1);
}

TEST_F(GrpcAttemptHostTest, StoresFilesByDigest) {
  std::string content(2'500'000, 'w');
  content[2'000'000] = 'x';
  ASSERT_TRUE(WriteFileAtomically(folder_ / "model", content).ok());
  const auto file = Open()->StoreFile("model.safetensors", folder_ / "model");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->path(), "model.safetensors");
  EXPECT_EQ(file->digest(), "sha256:" + Sha256Hex(content));
  EXPECT_EQ(file->size_bytes(), 2'500'000);
  EXPECT_EQ(platform_.blobs.at("tenants/acme/blobs/" + file->digest()), content);
}

TEST_F(GrpcAttemptHostTest, StoresAnEmptyFile) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "empty", "").ok());
  const auto file = Open()->StoreFile("empty", folder_ / "empty");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(platform_.blobs.contains("tenants/acme/blobs/sha256:" + Sha256Hex("")));
}

TEST_F(GrpcAttemptHostTest, PassesOnWhetherToStop) {
  const auto host = Open();
  EXPECT_FALSE(host->Report(Log("one")).value());
  platform_.stop = true;
  EXPECT_TRUE(host->Report(Log("two")).value());
  EXPECT_THAT(platform_.logs, ElementsAre("one", "two"));
}

TEST_F(GrpcAttemptHostTest, KeepsEventsWhileTrainingIsAway) {
  const auto host = Open();
  platform_.failures = {absl::UnavailableError("restarting")};
  EXPECT_FALSE(host->Report(Log("one")).ok());
  // Not asked again at once: each try may cost the step's time.
  EXPECT_FALSE(host->Report(Log("two")).value());
  EXPECT_EQ(platform_.calls, 1);
  clock_.Advance(absl::Seconds(2));
  EXPECT_FALSE(host->Report(Log("three")).value());
  EXPECT_THAT(platform_.logs, ElementsAre("one", "two", "three"));
}

TEST_F(GrpcAttemptHostTest, AVerdictIsRepeatedUntilItIsTaken) {
  const auto host = Open();
  platform_.failures = {absl::UnavailableError("restarting"),
                        absl::DeadlineExceededError("too slow")};
  training::v1::CompleteAttemptRequest result;
  result.add_labels("shirt");
  ASSERT_TRUE(host->Complete(result).ok());
  EXPECT_EQ(platform_.completed.job(), "tenants/acme/jobs/j1");
  EXPECT_EQ(platform_.completed.attempt(), 2);
  EXPECT_THAT(platform_.completed.labels(), ElementsAre("shirt"));
  ASSERT_TRUE(host->Fail("out of memory", true).ok());
  EXPECT_EQ(platform_.failed.error(), "out of memory");
  EXPECT_TRUE(platform_.failed.retryable());
}

TEST_F(GrpcAttemptHostTest, RefusesAnAttemptThatItCannotUse) {
  const auto error = [&](auto change) {
    training::v1::Attempt attempt = attempt_;
    change(attempt);
    return GrpcAttemptHost::Create({.attempt = attempt, .tls = {}}, clock_).status();
  };
  EXPECT_EQ(FieldOf(error([](auto& a) { a.set_job("j1"); })), "job");
  EXPECT_EQ(FieldOf(error([](auto& a) { a.clear_cache_dir(); })), "cache_dir");
  EXPECT_THAT(std::string(error([](auto& a) { a.set_token_file("/nowhere"); }).message()),
              HasSubstr("/nowhere"));
  EXPECT_THAT(std::string(error([](auto& a) { a.set_registry_address("x"); }).message()),
              HasSubstr("registry_address"));
}

}  // namespace
}  // namespace slipway::trainer
