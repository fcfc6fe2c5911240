#include "services/gateway/usage/journal.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/files/files.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/eventually.h"
#include "tests/support/system_calls.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JournalTest : public ::testing::Test {
 protected:
  static constexpr int64_t kSegment = 8 << 10;

  JournalOptions Options() {
    return {.folder = folder_ / "journal", .segment_bytes = kSegment, .segments = 4};
  }

  std::unique_ptr<Journal> Open() {
    auto journal = Journal::Open(Options());
    EXPECT_TRUE(journal.ok()) << journal.status();
    return *std::move(journal);
  }

  static absl::Status Write(Journal& journal, const std::string& record) {
    auto room = journal.Reserve(1);
    RETURN_IF_ERROR(room.status());
    return journal.Append(*room, record);
  }

  static std::vector<std::string> ReadAll(Journal& journal, JournalPosition at = {}) {
    std::vector<std::string> records;
    EXPECT_TRUE(journal.Sync().ok());
    for (;;) {
      const auto next = journal.Read(at, 4096, [&](std::string_view record) {
        records.emplace_back(record);
        return absl::OkStatus();
      });
      EXPECT_TRUE(next.ok()) << next.status();
      if (!next.ok() || *next == at) return records;
      at = *next;
    }
  }

  TempDir folder_;
};

TEST_F(JournalTest, KeepsRecordsInTheirOrderThroughARestart) {
  std::vector<std::string> written;
  {
    const auto journal = Open();
    for (int i = 0; i < 100; ++i) {
      written.push_back(fmt::format("record {} {}", i, std::string(i, 'x')));
      ASSERT_TRUE(Write(*journal, written.back()).ok());
    }
    EXPECT_EQ(ReadAll(*journal), written);
  }
  const auto journal = Open();
  EXPECT_EQ(ReadAll(*journal), written);
  ASSERT_TRUE(Write(*journal, "after").ok());
  written.push_back("after");
  EXPECT_EQ(ReadAll(*journal), written);
}

TEST_F(JournalTest, ARecordIsWithTheKernelWhenAppendReturns) {
  const auto journal = Open();
  ASSERT_TRUE(Write(*journal, "kept").ok());
  // What a kill leaves: the files as they are, without the destructor.
  const std::string copy = folder_ / "copy";
  fs::copy(folder_ / "journal", copy, fs::copy_options::recursive);
  const auto found = Journal::Open({.folder = copy, .segment_bytes = kSegment, .segments = 4});
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(ReadAll(**found), ElementsAre("kept"));
}

// Which a power cut then cannot take back.
TEST_F(JournalTest, EachRecordIsSyncedByItself) {
  const auto journal = Open();
  const SystemCalls calls;
  for (int written = 1; written <= 3; ++written) {
    ASSERT_TRUE(Write(*journal, "record").ok());
    EXPECT_TRUE(Eventually([&] { return calls.Count("sync", "/segment-000") == written; }));
  }
}

// Else whoever stores how far it has read could be ahead of the journal after a power cut, and take
// the next process's records for ones that it has read.
TEST_F(JournalTest, HandsOnOnlyWhatIsSynced) {
  JournalOptions options = Options();
  options.sync_interval = absl::Hours(1);
  const auto journal = Journal::Open(options).value();
  const SystemCalls calls;
  ASSERT_TRUE(Write(*journal, "synced at once").ok());
  ASSERT_TRUE(Eventually([&] { return calls.Count("sync", "/segment-000") == 1; }));
  ASSERT_TRUE(journal->Sync().ok());
  ASSERT_TRUE(Write(*journal, "not yet").ok());
  const auto seen = [&](JournalPosition from) {
    std::string all;
    const auto next = journal->Read(from, 4096, [&](std::string_view record) {
      all += record;
      return absl::OkStatus();
    });
    EXPECT_TRUE(next.ok()) << next.status();
    return std::pair(all, *next);
  };
  const auto [first, next] = seen({});
  EXPECT_EQ(first, "synced at once");
  EXPECT_EQ(seen(next), std::pair(std::string(), next));
  ASSERT_TRUE(journal->Sync().ok());
  EXPECT_EQ(seen(next).first, "not yet");
}

TEST_F(JournalTest, SyncWaitsForNoInterval) {
  JournalOptions options = Options();
  options.sync_interval = absl::Hours(1);
  const auto journal = Journal::Open(options).value();
  const SystemCalls calls;
  ASSERT_TRUE(Write(*journal, "synced at once, since none was before").ok());
  EXPECT_TRUE(Eventually([&] { return calls.Count("sync", "/segment-000") == 1; }));
  ASSERT_TRUE(Write(*journal, "an hour later").ok());
  ASSERT_TRUE(journal->Sync().ok());
  EXPECT_EQ(calls.Count("sync", "/segment-000"), 2);
}

// The segment ends at every byte, followed by zeros or by what was on the disk before: what was
// whole stays, nothing else is ever read.
TEST_F(JournalTest, ATornTailLosesOnlyItself) {
  std::vector<std::string> written;
  std::vector<int64_t> ends;  // of each record in the segment
  {
    const auto journal = Open();
    for (int i = 0; i < 8; ++i) {
      written.push_back(fmt::format("record {} {}", i, std::string(3 * i, 'y')));
      ASSERT_TRUE(Write(*journal, written.back()).ok());
      ends.push_back(journal->end().offset);
    }
  }
  const std::string bytes = *ReadFile(folder_ / "journal/segment-000");
  const auto put = [&](const char* name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary | std::ios::trunc) << content;
  };
  for (int64_t cut = 0; cut <= ends.back(); ++cut) {
    const size_t whole =
        std::count_if(ends.begin(), ends.end(), [&](int64_t end) { return end <= cut; });
    // A segment without its header holds nothing.
    const std::vector<std::string> expected(written.begin(),
                                            written.begin() + (cut < 24 ? 0 : whole));
    for (const char rest : {'\0', '\xa5'}) {
      put("journal/segment-000", bytes.substr(0, cut) + std::string(bytes.size() - cut, rest));
      put("journal/segment-001", std::string(kSegment, '\0'));
      const auto journal = Open();
      ASSERT_EQ(ReadAll(*journal), expected) << cut;
    }
  }
  // And once with a new record behind it.
  put("journal/segment-000", bytes.substr(0, ends[2] + 5) + std::string(200, '\xa5'));
  const auto journal = Open();
  ASSERT_TRUE(Write(*journal, "new").ok());
  EXPECT_THAT(ReadAll(*journal), ElementsAre(written[0], written[1], written[2], "new"));
}

TEST_F(JournalTest, AFlippedBitEndsTheSegmentThere) {
  {
    const auto journal = Open();
    for (const char* record : {"one", "two", "three"}) ASSERT_TRUE(Write(*journal, record).ok());
  }
  const std::string segment = folder_ / "journal/segment-000";
  std::string bytes = *ReadFile(segment);
  bytes[bytes.find("two")] ^= 1;
  std::ofstream(segment, std::ios::binary) << bytes;
  EXPECT_THAT(ReadAll(*Open()), ElementsAre("one"));
}

TEST_F(JournalTest, SpaceThatWasReleasedIsUsedAgainAndOldRecordsNeverComeBack) {
  const auto journal = Open();
  const std::string record(900, 'z');
  JournalPosition at;
  int read = 0;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(Write(*journal, record + std::to_string(i)).ok()) << i;
    ASSERT_TRUE(journal->Sync().ok());
    const auto next = journal->Read(at, 1 << 20, [&](std::string_view text) {
      EXPECT_EQ(text, record + std::to_string(read++));
      return absl::OkStatus();
    });
    ASSERT_TRUE(next.ok());
    at = *next;
    journal->Release(at);
  }
  EXPECT_EQ(read, 500);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "journal"), {}), 6);
}

TEST_F(JournalTest, AFullJournalSaysSoBeforeTheWorkAndRecovers) {
  const auto journal = Open();
  int written = 0;
  absl::Status status;
  while ((status = Write(*journal, std::string(500, 'f'))).ok()) ++written;
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("waits for the database"));
  EXPECT_GT(written, 4 * kSegment / 520 * 6 / 10);
  EXPECT_EQ(ReadAll(*journal).size(), static_cast<size_t>(written));
  journal->Release(journal->end());
  EXPECT_TRUE(Write(*journal, "again").ok());
}

TEST_F(JournalTest, WhatWasReservedCanAlwaysBeWritten) {
  const auto journal = Open();
  std::vector<Journal::Room> rooms;
  for (;;) {
    auto room = journal->Reserve(2);
    if (!room.ok()) break;
    rooms.push_back(*std::move(room));
  }
  EXPECT_FALSE(rooms.empty());
  for (Journal::Room& room : rooms) {
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(journal->Append(room, std::string(Journal::kMaxRecordBytes, 'r')).ok());
    }
  }
}

TEST_F(JournalTest, RoomThatIsNotUsedComesBack) {
  const auto journal = Open();
  const int64_t before = journal->free_bytes();
  {
    const auto room = journal->Reserve(2);
    EXPECT_LT(journal->free_bytes(), before);
  }
  EXPECT_EQ(journal->free_bytes(), before);
}

TEST_F(JournalTest, ItsFilesHaveTheirSizeFromTheStart) {
  const auto journal = Open();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(fs::file_size(fmt::format("{}/segment-{:03}", folder_ / "journal", i)),
              static_cast<uint64_t>(kSegment));
  }
}

TEST_F(JournalTest, EachProcessStartsASegmentOfItsOwn) {
  {
    const auto journal = Open();
    ASSERT_TRUE(Write(*journal, "earlier").ok());
    EXPECT_EQ(journal->end().segment, journal->first_segment());
  }
  const auto journal = Open();
  EXPECT_LT(journal->end().segment, journal->first_segment());
  ASSERT_TRUE(Write(*journal, "mine").ok());
  EXPECT_EQ(journal->end().segment, journal->first_segment());
}

TEST_F(JournalTest, AFolderHasOneJournalAtATime) {
  auto journal = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(Journal::Open(Options()).status()));
  journal.reset();
  EXPECT_TRUE(Journal::Open(Options()).ok());
}

TEST_F(JournalTest, ItsIdStays) {
  const std::string id = Open()->id();
  EXPECT_EQ(Open()->id(), id);
  EXPECT_EQ(id.size(), 16u);
}

TEST_F(JournalTest, ReadsNothingTwiceFromAStoredPosition) {
  JournalPosition middle;
  {
    const auto journal = Open();
    for (const char* record : {"one", "two"}) ASSERT_TRUE(Write(*journal, record).ok());
    middle = journal->end();
    ASSERT_TRUE(Write(*journal, "three").ok());
  }
  const auto journal = Open();
  EXPECT_THAT(ReadAll(*journal, middle), ElementsAre("three"));
  EXPECT_THAT(ReadAll(*journal, journal->end()), IsEmpty());
}

TEST_F(JournalTest, ManyThreadsWriteAndNoneIsLost) {
  constexpr int kThreads = 4;
  constexpr int kEach = 60;
  JournalOptions options = Options();
  options.segments = 16;
  const auto journal = Journal::Open(options).value();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          EXPECT_TRUE(Write(*journal, fmt::format("{}:{}", t, i)).ok());
        }
      });
    }
  }
  std::vector<int> next(kThreads, 0);
  for (const std::string& record : ReadAll(*journal)) {
    const int t = record[0] - '0';
    EXPECT_EQ(record, fmt::format("{}:{}", t, next[t]++));
  }
  EXPECT_THAT(next, ::testing::Each(kEach));
}

}  // namespace
}  // namespace slipway::gateway
