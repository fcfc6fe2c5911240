// Object stores on a real S3 server.
#include "services/training/objects/s3_object_store.h"

#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/s3_server.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class S3ObjectStoreTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new S3Server(); }
  static void TearDownTestSuite() { delete server_; }

  static std::unique_ptr<ObjectStore> Open(const std::string& secret = S3Server::kReaderSecret,
                                           const std::string& access_key = S3Server::kReaderKey,
                                           const std::string& bucket = S3Server::kBucket,
                                           const std::string& endpoint = server_->endpoint()) {
    auto store = OpenS3Store({.name = "lake",
                              .endpoint = endpoint,
                              .region = "us-east-1",
                              .bucket = bucket,
                              .access_key = Secret(access_key),
                              .secret_key = Secret(secret),
                              .ca_file = ""});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  static std::vector<std::string> Keys(const std::vector<StoredObject>& objects) {
    std::vector<std::string> keys;
    for (const StoredObject& object : objects) keys.push_back(object.key);
    return keys;
  }
  static absl::StatusOr<std::string> ReadAll(ObjectStore& store, const std::string& key,
                                             int64_t offset = 0) {
    std::string content;
    RETURN_IF_ERROR(store.Read(key, offset, [&](std::string_view piece) {
      content += piece;
      return absl::OkStatus();
    }));
    return content;
  }
  // Bytes that tell where they stand.
  static std::string Large() {
    std::string bytes;
    while (bytes.size() < (20 << 20)) bytes += std::to_string(bytes.size()) + " ";
    return bytes;
  }

  static S3Server* server_;
};

S3Server* S3ObjectStoreTest::server_ = nullptr;

TEST_F(S3ObjectStoreTest, ListsAnObjectOrThoseBelowAFolder) {
  server_->Put("list/a.csv", "1");
  server_->Put("list/train/dog/2.png", "22");
  server_->Put("list/train/cat/1.png", "1");
  server_->Put("list/trainer/3.png", "3");
  const auto store = Open();
  const auto one = store->List("list/a.csv", 10);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(Keys(*one), ElementsAre("list/a.csv"));
  EXPECT_EQ((*one)[0].size_bytes, 1);
  const auto below = store->List("list/train", 10);
  ASSERT_TRUE(below.ok()) << below.status();
  EXPECT_THAT(Keys(*below), ElementsAre("list/train/cat/1.png", "list/train/dog/2.png"));
  EXPECT_EQ((*below)[1].size_bytes, 2);
  EXPECT_THAT(*store->List("list/no-such", 10), IsEmpty());
  EXPECT_TRUE(absl::IsResourceExhausted(store->List("list", 3).status()));
}

TEST_F(S3ObjectStoreTest, ReadsWhatWasWrittenInSeveralParts) {
  const std::string content = Large();
  server_->Put("read/large", content);
  server_->Put("read/empty", "");
  const auto store = Open();
  const auto read = ReadAll(*store, "read/large");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(Sha256Hex(*read), Sha256Hex(content));
  EXPECT_EQ(*ReadAll(*store, "read/large", 9 << 20), content.substr(9 << 20));
  EXPECT_EQ(*ReadAll(*store, "read/empty"), "");
  EXPECT_TRUE(absl::IsNotFound(ReadAll(*store, "read/no-such").status()));
}

TEST_F(S3ObjectStoreTest, EndsWhereTheReaderHasEnough) {
  server_->Put("read/enough", Large());
  int pieces = 0;
  const absl::Status status = Open()->Read("read/enough", 0, [&](std::string_view) {
    ++pieces;
    return absl::CancelledError("enough");
  });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(pieces, 1);
}

// Safety: without the look at the tag afterwards the bytes would be of two objects.
TEST_F(S3ObjectStoreTest, AnObjectThatIsReplacedMeanwhileIsRefused) {
  const std::string before = Large();
  server_->Put("read/replaced", before);
  const auto store = Open();
  const auto read = [&](const std::string& instead) {
    return store->Read("read/replaced", 0, [&](std::string_view) {
      server_->Put("read/replaced", instead);
      return absl::OkStatus();
    });
  };
  EXPECT_TRUE(absl::IsAborted(read(std::string(before.size(), 'x')))) << "of the same size";
  EXPECT_FALSE(read("short").ok());
  // The same bytes again are the same object.
  server_->Put("read/replaced", before);
  EXPECT_TRUE(read(before).ok());
}

TEST_F(S3ObjectStoreTest, WrongKeysAreRefusedAndNoMessageShowsThem) {
  server_->Put("keys/a", "1");
  EXPECT_FALSE(server_->MayWrite(S3Server::kReaderKey, S3Server::kReaderSecret));
  EXPECT_TRUE(ReadAll(*Open(), "keys/a").ok());
  const auto wrong = {Open("wrong-secret"), Open(S3Server::kReaderSecret, "no-such-key"),
                      Open(S3Server::kReaderSecret, S3Server::kReaderKey, "another-bucket")};
  for (const auto& store : wrong) {
    for (const absl::Status& status :
         {store->List("keys/a", 10).status(), ReadAll(*store, "keys/a").status()}) {
      EXPECT_FALSE(status.ok());
      const std::string message(status.message());
      for (const char* secret : {"wrong-secret", S3Server::kReaderSecret, S3Server::kReaderKey,
                                 "no-such-key", "another-bucket", "127.0.0.1"}) {
        EXPECT_THAT(message, Not(HasSubstr(secret)));
      }
    }
  }
}

TEST_F(S3ObjectStoreTest, AServerThatIsNotThereMayBeThereLater) {
  const auto store =
      Open(S3Server::kReaderSecret, S3Server::kReaderKey, S3Server::kBucket, "http://127.0.0.1:1");
  const absl::Status status = store->List("a", 10).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(std::string(status.message()), "the object store lake does not answer");
}

}  // namespace
}  // namespace slipway::training
