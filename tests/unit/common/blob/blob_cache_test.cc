#include "common/blob/blob_cache.h"

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_blob_source.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

bool Never() { return false; }

class BlobCacheTest : public testing::Test {
 protected:
  BlobCache Open(int64_t max_bytes = 1 << 20) {
    auto cache = BlobCache::Open({.folder = dir_ / "blobs", .max_bytes = max_bytes}, source_);
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *std::move(cache);
  }
  static BlobName NameOf(const std::string& digest) {
    return {"acme", *Digest::Parse("digest", digest)};
  }
  int CountFiles() const {
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
      if (entry.is_regular_file() && entry.path().filename() != ".lock") ++files;
    }
    return files;
  }

  TempDir dir_;
  FakeBlobSource source_;
};

TEST_F(BlobCacheTest, DownloadsOnceAndShowsTheToken) {
  const std::string digest = source_.Add("weights");
  BlobCache cache = Open();
  const auto path = cache.Fetch(NameOf(digest), 7, "token-1", Never);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*ReadFile(*path), "weights");
  EXPECT_EQ(source_.last_token(), "token-1");
  EXPECT_EQ(*cache.Fetch(NameOf(digest), 7, "token-2", Never), *path);
  BlobCache after_restart = Open();
  EXPECT_TRUE(after_restart.Fetch(NameOf(digest), 7, "", Never).ok());
  EXPECT_EQ(source_.downloads(), 1);
}

TEST_F(BlobCacheTest, RefusesBytesOfAnotherDigestAndKeepsNothing) {
  const std::string digest = source_.Add("weights");
  source_.Spoil(digest, "weightz");
  BlobCache cache = Open();
  const auto path = cache.Fetch(NameOf(digest), 7, "", Never);
  EXPECT_TRUE(absl::IsDataLoss(path.status())) << path.status();
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("arrived with digest"));
  EXPECT_EQ(CountFiles(), 0);
}

TEST_F(BlobCacheTest, RefusesTruncatedAndOverlongBytes) {
  const std::string digest = source_.Add("weights");
  BlobCache cache = Open();
  for (const char* bytes : {"weigh", "weights and more"}) {
    source_.Spoil(digest, bytes);
    EXPECT_TRUE(absl::IsDataLoss(cache.Fetch(NameOf(digest), 7, "", Never).status())) << bytes;
  }
  EXPECT_EQ(CountFiles(), 0);
}

TEST_F(BlobCacheTest, FetchesAgainWhatTheDiskHasSpoilt) {
  const std::string digest = source_.Add("weights");
  BlobCache cache = Open();
  const std::string path = *cache.Fetch(NameOf(digest), 7, "", Never);
  for (const char* spoilt : {"weightz", "wei", ""}) {
    fs::permissions(path, fs::perms::owner_all);
    std::ofstream(path, std::ios::trunc) << spoilt;
    ASSERT_TRUE(cache.Fetch(NameOf(digest), 7, "", Never).ok());
    EXPECT_EQ(*ReadFile(path), "weights") << spoilt;
  }
  EXPECT_EQ(source_.downloads(), 4);
}

TEST_F(BlobCacheTest, PassesOnWhatTheSourceSays) {
  BlobCache cache = Open();
  const std::string absent = "sha256:" + Sha256Hex("absent");
  EXPECT_TRUE(absl::IsNotFound(cache.Fetch(NameOf(absent), 6, "", Never).status()));
  EXPECT_EQ(CountFiles(), 0);
}

TEST_F(BlobCacheTest, AGivenUpDownloadLeavesNothing) {
  const std::string digest = source_.Add("weights");
  BlobCache cache = Open();
  EXPECT_TRUE(absl::IsCancelled(cache.Fetch(NameOf(digest), 7, "", [] { return true; }).status()));
  EXPECT_EQ(CountFiles(), 0);
}

TEST_F(BlobCacheTest, ManyWhoWantABlobShareOneDownload) {
  const std::string digest = source_.Add("weights");
  BlobCache cache = Open();
  BlobCache other_process = Open();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        EXPECT_TRUE((i % 2 == 0 ? cache : other_process).Fetch(NameOf(digest), 7, "", Never).ok());
      });
    }
  }
  EXPECT_EQ(source_.downloads(), 1);
}

TEST_F(BlobCacheTest, TheLongestUnusedGoesWhenItGrowsTooLarge) {
  BlobCache cache = Open(/*max_bytes=*/25);
  const std::string a = source_.Add("aaaaaaaaaa");
  const std::string b = source_.Add("bbbbbbbbbb");
  const std::string c = source_.Add("cccccccccc");
  const std::string path_a = *cache.Fetch(NameOf(a), 10, "", Never);
  const std::string path_b = *cache.Fetch(NameOf(b), 10, "", Never);
  const auto now = fs::last_write_time(path_b);
  fs::last_write_time(path_a, now - std::chrono::hours(4));
  fs::last_write_time(path_b, now - std::chrono::hours(3));
  // Using it makes it the younger one.
  ASSERT_TRUE(cache.Fetch(NameOf(a), 10, "", Never).ok());
  ASSERT_TRUE(cache.Fetch(NameOf(c), 10, "", Never).ok());
  EXPECT_TRUE(fs::exists(path_a));
  EXPECT_FALSE(fs::exists(path_b));
  EXPECT_EQ(CountFiles(), 2);
}

TEST_F(BlobCacheTest, WhatWasJustFetchedStaysThoughItIsTooMuch) {
  BlobCache cache = Open(/*max_bytes=*/1);
  std::vector<std::string> paths;
  for (const char* bytes : {"images", "labels", "ids"}) {
    const std::string digest = source_.Add(bytes);
    const auto path = cache.Fetch(NameOf(digest), std::ssize(std::string(bytes)), "", Never);
    ASSERT_TRUE(path.ok()) << path.status();
    paths.push_back(*path);
  }
  for (const std::string& path : paths) EXPECT_TRUE(fs::exists(path)) << path;
}

TEST_F(BlobCacheTest, RemovesWhatAKilledProcessLeftLongAgo) {
  fs::create_directories(dir_ / "blobs/ab");
  const std::string abandoned = dir_ / "blobs/ab/.abcd.XYZ";
  const std::string fresh = dir_ / "blobs/ab/.abcd.NEW";
  std::ofstream(abandoned) << "half";
  std::ofstream(fresh) << "half";
  fs::last_write_time(abandoned, fs::last_write_time(fresh) - std::chrono::hours(25));
  Open();
  EXPECT_FALSE(fs::exists(abandoned));
  EXPECT_TRUE(fs::exists(fresh));
}

}  // namespace
}  // namespace slipway
