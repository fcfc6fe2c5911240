#include "common/blob/file_blob_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "common/crypto/hash.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Call = FaultyFileSystem::Call;

Digest DigestOf(std::string_view bytes) { return Digest::FromHex(Sha256Hex(bytes)); }

class FileBlobStoreTest : public ::testing::Test {
 protected:
  FileBlobStoreTest() { Reopen(); }

  void Reopen() {
    store_ = nullptr;
    auto store = FileBlobStore::Open(root_, files_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  absl::StatusOr<BlobInfo> Put(const std::string& tenant, std::string_view bytes,
                               const std::optional<Digest>& expected = std::nullopt) {
    ASSIGN_OR_RETURN(const auto writer, store_->NewWriter(tenant));
    RETURN_IF_ERROR(writer->Append(bytes.substr(0, bytes.size() / 2)));
    RETURN_IF_ERROR(writer->Append(bytes.substr(bytes.size() / 2)));
    EXPECT_EQ(writer->size_bytes(), static_cast<int64_t>(bytes.size()));
    return writer->Commit(expected);
  }

  absl::StatusOr<std::string> Get(const std::string& tenant, const Digest& digest,
                                  int64_t offset = 0) {
    ASSIGN_OR_RETURN(const auto reader, store_->OpenReader(tenant, digest, offset));
    std::string all;
    for (;;) {
      ASSIGN_OR_RETURN(const std::string chunk, reader->Read(7));
      if (chunk.empty()) return all;
      all += chunk;
    }
  }

  /// Every regular file below the root but the lock, relative to it.
  std::vector<std::string> Files() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      if (!entry.is_regular_file() || entry.path().filename() == ".lock") continue;
      found.push_back(std::filesystem::relative(entry.path(), root_));
    }
    return found;
  }

  TempDir dir_;
  const std::string root_ = dir_ / "data/blobs";
  FaultyFileSystem files_;
  std::unique_ptr<FileBlobStore> store_;
};

TEST_F(FileBlobStoreTest, KeepsBytesUnderTenantAndDigest) {
  const std::string bytes = "some bytes of a model";
  const auto info = Put("acme", bytes, DigestOf(bytes));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->digest, DigestOf(bytes));
  EXPECT_EQ(info->size_bytes, static_cast<int64_t>(bytes.size()));
  const std::string hex = DigestOf(bytes).hex();
  EXPECT_THAT(Files(), ::testing::ElementsAre("acme/" + hex.substr(0, 2) + "/" + hex));
  EXPECT_EQ(*Get("acme", info->digest), bytes);
  EXPECT_EQ(store_->Stat("acme", info->digest)->size_bytes, info->size_bytes);
  struct stat file {};
  ASSERT_EQ(stat(store_->PathOf("acme", info->digest).c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);

  Reopen();
  EXPECT_EQ(*Get("acme", info->digest), bytes);
}

TEST_F(FileBlobStoreTest, KeepsAnEmptyBlob) {
  ASSERT_TRUE(Put("acme", "").ok());
  EXPECT_EQ(*Get("acme", DigestOf("")), "");
}

TEST_F(FileBlobStoreTest, RefusesOtherBytesThanTheDigestSaysAndKeepsNothing) {
  const auto refused = Put("acme", "these bytes", DigestOf("those bytes"));
  EXPECT_EQ(FieldOf(refused.status()), "digest");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr(DigestOf("these bytes").hex()));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(FileBlobStoreTest, AWriterThatIsDroppedLeavesNothing) {
  {
    auto writer = store_->NewWriter("acme");
    ASSERT_TRUE((*writer)->Append("half of it").ok());
    EXPECT_EQ(Files().size(), 1u);
  }
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(FileBlobStoreTest, TenantsShareNothing) {
  ASSERT_TRUE(Put("acme", "secret").ok());
  const absl::Status other = store_->Stat("globex", DigestOf("secret")).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Put("globex", "secret").ok());
  ASSERT_TRUE(store_->Delete("globex", DigestOf("secret")).ok());
  EXPECT_EQ(*Get("acme", DigestOf("secret")), "secret");
}

// Takes away any one fsync of the store and one of these lines fails.
TEST_F(FileBlobStoreTest, SyncsTheBytesThenTheNameThenEveryFolderOnTheWay) {
  const auto opened = files_.TakeCalls();
  const auto position = [](const std::vector<Call>& calls, const Call& call) {
    return std::find(calls.begin(), calls.end(), call) - calls.begin();
  };
  const auto happened = [&](const std::vector<Call>& calls, const Call& call) {
    return std::find(calls.begin(), calls.end(), call) != calls.end();
  };
  EXPECT_TRUE(happened(opened, {"fsync", dir_ / "data"})) << "the root's own entry";
  EXPECT_TRUE(happened(opened, {"fsync", root_})) << "the temporary folder's entry";

  ASSERT_TRUE(Put("acme", "bytes").ok());
  const auto calls = files_.TakeCalls();
  const std::string path = store_->PathOf("acme", DigestOf("bytes"));
  const std::string folder = path.substr(0, path.rfind('/'));
  const std::string temporary = calls.front().path;
  ASSERT_EQ(calls.front().operation, "open");
  for (const Call& call : {Call{"fsync", temporary}, Call{"rename", path}, Call{"fsync", folder},
                           Call{"mkdir", folder}, Call{"fsync", root_ + "/acme"},
                           Call{"mkdir", root_ + "/acme"}, Call{"fsync", root_}}) {
    EXPECT_TRUE(happened(calls, call)) << call.operation << " " << call.path;
  }
  EXPECT_LT(position(calls, {"write", temporary}), position(calls, {"fsync", temporary}));
  EXPECT_LT(position(calls, {"fsync", temporary}), position(calls, {"rename", path}));
  EXPECT_LT(position(calls, {"rename", path}), position(calls, {"fsync", folder}));
  EXPECT_LT(position(calls, {"mkdir", folder}), position(calls, {"fsync", root_ + "/acme"}));
  EXPECT_LT(position(calls, {"mkdir", root_ + "/acme"}), position(calls, {"fsync", root_}));

  // After a restart nobody knows whether the folders were synced before the end came.
  Reopen();
  files_.TakeCalls();
  ASSERT_TRUE(Put("acme", "bytes").ok());
  const auto again = files_.TakeCalls();
  EXPECT_TRUE(happened(again, {"fsync", root_}));
  EXPECT_TRUE(happened(again, {"fsync", root_ + "/acme"}));
}

// Each call that changes the disk, refused in turn, with a full and with a broken disk.
TEST_F(FileBlobStoreTest, EveryRefusedCallIsToldLeavesNothingHalfAndTheNextTrySucceeds) {
  for (const int error : {ENOSPC, EIO}) {
    int points = 0;
    for (int call = 1;; ++call) {
      FaultyFileSystem files;
      const std::string root = dir_ / ("fresh-" + std::to_string(error) + std::to_string(call));
      auto opened = FileBlobStore::Open(root, files);
      ASSERT_TRUE(opened.ok());
      store_ = *std::move(opened);
      files.FailCall(call, error);
      const auto put = Put("acme", "some bytes");
      if (!files.failed()) {
        EXPECT_TRUE(put.ok());
        break;
      }
      ++points;
      ASSERT_FALSE(put.ok()) << "call " << call << " failed unseen";
      EXPECT_EQ(IsStorageFull(put.status()), error == ENOSPC) << put.status();
      if (error == ENOSPC) {
        EXPECT_THAT(std::string(put.status().message()), HasSubstr(root));
      }
      for (const auto& entry : std::filesystem::directory_iterator(root + "/.tmp")) {
        ADD_FAILURE() << "left " << entry.path();
      }
      EXPECT_TRUE(Put("acme", "some bytes").ok());
      EXPECT_EQ(*Get("acme", DigestOf("some bytes")), "some bytes");
    }
    EXPECT_GE(points, 9);
  }
}

TEST_F(FileBlobStoreTest, ReadsGoOnWhileTheVolumeIsFull) {
  ASSERT_TRUE(Put("acme", "kept").ok());
  files_.FailAll(ENOSPC);
  EXPECT_TRUE(IsStorageFull(Put("acme", "more").status()));
  EXPECT_EQ(*Get("acme", DigestOf("kept")), "kept");
  files_.FailNone();
  EXPECT_TRUE(Put("acme", "more").ok());
}

TEST_F(FileBlobStoreTest, AWriterIsSpentAfterAnError) {
  auto writer = store_->NewWriter("acme");
  files_.FailCall(1, EIO);
  EXPECT_FALSE((*writer)->Append("lost").ok());
  EXPECT_FALSE((*writer)->Append("more").ok()) << "it would hold a gap";
  EXPECT_FALSE((*writer)->Commit(std::nullopt).ok());
}

TEST_F(FileBlobStoreTest, ShortAndInterruptedWritesLoseNothing) {
  files_.ShortWrites(3);
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 31);
  ASSERT_TRUE(Put("acme", bytes).ok());
  EXPECT_EQ(*Get("acme", DigestOf(bytes)), bytes);
}

TEST_F(FileBlobStoreTest, ReadsFromAnOffsetUpToTheEnd) {
  ASSERT_TRUE(Put("acme", "0123456789").ok());
  const Digest digest = DigestOf("0123456789");
  EXPECT_EQ(*Get("acme", digest, 4), "456789");
  EXPECT_EQ(*Get("acme", digest, 10), "");
  for (const int64_t offset : {int64_t{-1}, int64_t{11}, INT64_MAX, INT64_MIN}) {
    const absl::Status refused = store_->OpenReader("acme", digest, offset).status();
    EXPECT_EQ(FieldOf(refused), "offset_bytes") << offset;
  }
}

TEST_F(FileBlobStoreTest, NoticesEveryFlippedBit) {
  const std::string bytes = "forty-two bytes of weights that must be so";
  ASSERT_TRUE(Put("acme", bytes).ok());
  const Digest digest = DigestOf(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    std::ofstream(store_->PathOf("acme", digest), std::ios::binary) << damaged;
    EXPECT_EQ(Get("acme", digest).status().code(), absl::StatusCode::kDataLoss) << bit;
  }
  ASSERT_TRUE(Put("acme", bytes).ok()) << "storing it again heals it";
  EXPECT_EQ(*Get("acme", digest), bytes);
}

TEST_F(FileBlobStoreTest, NoticesAFileThatShrinksWhileItIsRead) {
  const std::string bytes(100, 'x');
  ASSERT_TRUE(Put("acme", bytes).ok());
  auto reader = store_->OpenReader("acme", DigestOf(bytes), 0);
  ASSERT_TRUE((*reader)->Read(10).ok());
  std::filesystem::resize_file(store_->PathOf("acme", DigestOf(bytes)), 50);
  ASSERT_TRUE((*reader)->Read(40).ok());
  EXPECT_EQ((*reader)->Read(40).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(FileBlobStoreTest, DeletesAndAReaderThatIsOpenReadsOn) {
  ASSERT_TRUE(Put("acme", "0123456789").ok());
  const Digest digest = DigestOf("0123456789");
  auto reader = store_->OpenReader("acme", digest, 0);
  ASSERT_TRUE(store_->Delete("acme", digest).ok());
  EXPECT_EQ(*(*reader)->Read(100), "0123456789");
  EXPECT_EQ(store_->Stat("acme", digest).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->Delete("acme", digest).ok());
}

TEST_F(FileBlobStoreTest, RemovesWhatACrashLeft) {
  auto writer = store_->NewWriter("acme");
  ASSERT_TRUE((*writer)->Append("half of it").ok());
  const std::string left = root_ + "/.tmp/77";
  std::ofstream(left) << "of a process that was killed";
  writer->reset();
  Reopen();
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(FileBlobStoreTest, ASecondOwnerOfTheSameFolderIsRefused) {
  const absl::Status second = FileBlobStore::Open(root_).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("in use"));
}

TEST_F(FileBlobStoreTest, WritersOfTheSameBlobAtTheSameTimeAllSucceed) {
  const std::string bytes(200'000, 'w');
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 10; ++round) {
          EXPECT_TRUE(Put("acme", bytes, DigestOf(bytes)).ok());
          EXPECT_TRUE(Put("acme", std::string(1, static_cast<char>(round))).ok());
        }
      });
    }
  }
  EXPECT_EQ(store_->Stat("acme", DigestOf(bytes))->size_bytes, 200'000);
  EXPECT_EQ(Files().size(), 11u);
}

}  // namespace
}  // namespace slipway
