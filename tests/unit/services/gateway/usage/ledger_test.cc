// From the journal into the database, through restarts.
#include "services/gateway/usage/ledger.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "common/sql/database.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/gateway/schema.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/ledger_feed.h"
#include "services/gateway/usage/outbox_feed.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/usage_service.h"
#include "slipway/gateway/v1/journal.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(30);

v1::UsageRecord Call(const std::string& tenant = "acme") {
  v1::UsageRecord record;
  record.set_tenant(tenant);
  record.set_key_id("k1");
  record.set_kind("inference");
  record.set_resource("tenants/" + tenant + "/deployments/d");
  record.set_quantity(1);
  record.set_http_code(200);
  record.set_input_bytes(10);
  return record;
}

// One process of the gateway, as far as usage goes.
struct Process {
  Process(sql::Database& database, const std::string& folder)
      : journal(
            Journal::Open({.folder = folder, .segment_bytes = 16 << 10, .segments = 8}).value()),
        recorder(*journal, Clock::Real()),
        ledger(database),
        feed(*journal, ledger, absl::Milliseconds(1), Clock::Real()),
        service(ledger, feed) {}

  Recorder::Ticket Record(v1::UsageRecord record) {
    auto ticket = recorder.Admit().value();
    EXPECT_TRUE(recorder.Record(ticket, record).ok());
    return ticket;
  }
  void Answer(v1::UsageRecord record) { recorder.Settle(Record(std::move(record)), 200); }

  std::unique_ptr<Journal> journal;
  Recorder recorder;
  Ledger ledger;
  LedgerFeed feed;
  UsageService service;
};

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() {
    database_ = sql::Database::Open("sqlite:" + (folder_ / "g.db")).value();
    EXPECT_TRUE(database_->Migrate(Schema()).ok());
  }

  std::unique_ptr<Process> Start(const std::string& name = "journal", bool feed = true) {
    auto process = std::make_unique<Process>(*database_, folder_ / name);
    if (feed) process->feed.Start();
    return process;
  }

  std::vector<v1::UsageRecord> Rows(const std::string& tenant = "acme") {
    return Ledger(*database_).ListUsage(tenant, std::nullopt, 10'000).value();
  }

  TempDir folder_;
  std::unique_ptr<sql::Database> database_;
};

TEST_F(LedgerTest, EachCallBecomesOneRow) {
  const auto process = Start();
  for (int i = 0; i < 300; ++i) process->Answer(Call());
  ASSERT_TRUE(process->feed.Flush(kPatience).ok());
  const auto rows = Rows();
  EXPECT_THAT(rows, SizeIs(300));
  for (const auto& row : rows) {
    EXPECT_EQ(row.http_code(), 200);
    EXPECT_FALSE(row.broken());
    EXPECT_EQ(row.tenant(), "acme");
    EXPECT_GT(row.time().seconds(), 0);
  }
}

TEST_F(LedgerTest, WhatIsOnlyInTheJournalAtAKillComesWithTheNextStart) {
  {
    const auto killed = Start("journal", /*feed=*/false);
    for (int i = 0; i < 20; ++i) killed->Answer(Call());
  }
  EXPECT_THAT(Rows(), IsEmpty());
  const auto restarted = Start();
  ASSERT_TRUE(restarted->feed.Flush(kPatience).ok());
  EXPECT_THAT(Rows(), SizeIs(20));
}

TEST_F(LedgerTest, ACallWhoseAnswerAKillBrokeIsMarkedAndOneThatIsStillRunningIsNot) {
  {
    const auto killed = Start();
    killed->Answer(Call());
    auto unanswered = killed->Record(Call());
    ASSERT_TRUE(killed->feed.Flush(kPatience).ok());
    // Its row is in the database, its outcome never comes.
    EXPECT_THAT(Rows(), SizeIs(2));
    auto not_yet_in_the_database = killed->Record(Call());
  }
  const auto restarted = Start();
  auto running = restarted->Record(Call());
  ASSERT_TRUE(restarted->feed.Flush(kPatience).ok());
  const auto rows = Rows();
  ASSERT_THAT(rows, SizeIs(4));  // newest first
  EXPECT_FALSE(rows[0].broken());
  EXPECT_TRUE(rows[1].broken());
  EXPECT_TRUE(rows[2].broken());
  EXPECT_FALSE(rows[3].broken());
  restarted->recorder.Settle(std::move(running), 200);
  ASSERT_TRUE(restarted->feed.Flush(kPatience).ok());
  EXPECT_FALSE(Rows()[0].broken());
}

// The journal as a kill leaves it after each append, and as a power cut leaves it within one.
TEST_F(LedgerTest, AKillAtAnyPlaceLeavesOneRowForEachAnsweredCall) {
  constexpr int kCalls = 4;
  std::vector<std::pair<int64_t, int>> answered;  // behind which offset how many were answered
  std::vector<std::pair<int64_t, int>> recorded;
  {
    const auto process = Start("whole", /*feed=*/false);
    for (int i = 0; i < kCalls; ++i) {
      auto ticket = process->Record(Call());
      recorded.emplace_back(process->journal->end().offset, i + 1);
      process->recorder.Settle(std::move(ticket), 200);
      answered.emplace_back(process->journal->end().offset, i + 1);
    }
  }
  const auto at = [](const std::vector<std::pair<int64_t, int>>& steps, int64_t cut) {
    int count = 0;
    for (const auto& [offset, calls] : steps) count = offset <= cut ? calls : count;
    return count;
  };
  // Each place between two records, and a few inside of each.
  std::vector<int64_t> cuts = {64, 65};
  for (const auto& steps : {recorded, answered}) {
    for (const auto& [offset, calls] : steps) {
      cuts.insert(cuts.end(), {offset - 17, offset - 1, offset, offset + 1, offset + 9});
    }
  }
  const std::string bytes = *ReadFile(folder_ / "whole/segment-000");
  for (const int64_t cut : cuts) {
    const std::string folder = folder_ / fmt::format("cut-{}", cut);
    fs::copy(folder_ / "whole", folder, fs::copy_options::recursive);
    std::ofstream(folder + "/segment-000", std::ios::binary)
        << bytes.substr(0, cut) + std::string(bytes.size() - cut, '\0');
    auto database = sql::Database::Open("sqlite:" + folder + "/g.db").value();
    ASSERT_TRUE(database->Migrate(Schema()).ok());
    // Twice: a second start changes nothing.
    for (int start = 0; start < 2; ++start) {
      Process process(*database, folder);
      process.feed.Start();
      ASSERT_TRUE(process.feed.Flush(kPatience).ok());
      const auto rows = process.ledger.ListUsage("acme", std::nullopt, 100).value();
      ASSERT_THAT(rows, SizeIs(at(recorded, cut))) << cut;
      const auto broken =
          std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row.broken(); });
      ASSERT_EQ(broken, at(recorded, cut) - at(answered, cut)) << cut;
    }
    database.reset();
    fs::remove_all(folder);
  }
}

TEST_F(LedgerTest, AnotherReplicasRunningCallsAreNotMarked) {
  const auto other = Start("other");
  auto running = other->Record(Call());
  ASSERT_TRUE(other->feed.Flush(kPatience).ok());
  { const auto killed = Start("mine"); }
  const auto restarted = Start("mine");
  ASSERT_TRUE(restarted->feed.Flush(kPatience).ok());
  EXPECT_FALSE(Rows()[0].broken());
}

TEST_F(LedgerTest, ACallerThatLeftIsBilledAndSaidToHaveLeft) {
  const auto process = Start();
  process->recorder.Settle(process->Record(Call()), 499);
  ASSERT_TRUE(process->feed.Flush(kPatience).ok());
  EXPECT_EQ(Rows()[0].http_code(), 499);
  EXPECT_FALSE(Rows()[0].broken());
}

TEST_F(LedgerTest, EntriesThatComeAgainChangeNothing) {
  Ledger ledger(*database_);
  v1::JournalEntry entry;
  *entry.mutable_usage() = Call();
  entry.mutable_usage()->set_id("one");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(ledger.Add("w", {entry}, {1, 64}).ok());
  EXPECT_THAT(Rows(), SizeIs(1));
  EXPECT_EQ(*ledger.Position("w"), (JournalPosition{1, 64}));
  EXPECT_EQ(*ledger.Position("other"), JournalPosition());
}

TEST_F(LedgerTest, AddsUpByKindResourceAndKeyWithinATime) {
  const auto process = Start();
  for (int i = 0; i < 3; ++i) process->Answer(Call());
  process->Answer(Call("globex"));
  v1::GetUsageRequest request;
  request.set_parent("tenants/acme");
  const auto usage = process->service.GetUsage(request);
  ASSERT_TRUE(usage.ok()) << usage.status();
  ASSERT_EQ(usage->totals_size(), 1);
  EXPECT_EQ(usage->totals(0).count(), 3);
  EXPECT_EQ(usage->totals(0).quantity(), 3);
  EXPECT_EQ(usage->totals(0).input_bytes(), 30);
  request.mutable_start_time()->set_seconds(4'000'000'000);
  EXPECT_EQ(process->service.GetUsage(request)->totals_size(), 0);
  request.mutable_end_time()->set_seconds(1);
  EXPECT_EQ(FieldOf(process->service.GetUsage(request).status()), "endTime");
}

TEST_F(LedgerTest, ListsNewestFirstInPages) {
  const auto process = Start();
  for (int i = 0; i < 7; ++i) {
    v1::UsageRecord record = Call();
    record.set_request_id(std::to_string(i));
    process->Answer(record);
  }
  v1::ListUsageRecordsRequest request;
  request.set_parent("tenants/acme");
  request.set_page_size(3);
  std::string order;
  do {
    const auto page = process->service.ListUsageRecords(request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->usage_records_size(), 3);
    for (const auto& record : page->usage_records()) order += record.request_id();
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(order, "6543210");
  request.set_page_token("bm90IG91cnM");
  EXPECT_EQ(FieldOf(process->service.ListUsageRecords(request).status()), "pageToken");
}

TEST_F(LedgerTest, AnAuditRowIsThereBeforeItsChangeAndGetsItsResult) {
  v1::AuditRecord record;
  record.set_key_id("k1");
  record.set_method("slipway.gateway.v1.TenantService/CreateTenant");
  {
    const auto killed = Start();
    auto done = killed->recorder.Admit().value();
    ASSERT_TRUE(killed->recorder.Record(done, record).ok());
    killed->recorder.Settle(std::move(done), 200, "tenants/acme");
    auto unfinished = killed->recorder.Admit().value();
    record.set_tenant("acme");
    record.set_resource("tenants/acme/keys/k2");
    ASSERT_TRUE(killed->recorder.Record(unfinished, record).ok());
  }
  const auto restarted = Start();
  v1::ListAuditRecordsRequest request;
  request.set_parent("tenants/acme");
  const auto list = restarted->service.ListAuditRecords(request);
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->audit_records_size(), 2);
  EXPECT_EQ(list->audit_records(0).resource(), "tenants/acme/keys/k2");
  EXPECT_EQ(list->audit_records(0).http_code(), 0) << "how it ended nobody knows";
  EXPECT_EQ(list->audit_records(1).resource(), "tenants/acme");
  EXPECT_EQ(list->audit_records(1).tenant(), "acme");
  EXPECT_EQ(list->audit_records(1).http_code(), 200);
}

TEST_F(LedgerTest, LongTextsAreCutAndTheRecordStays) {
  const auto process = Start();
  v1::UsageRecord record = Call();
  record.set_resource(std::string(5000, 'r'));
  std::string accents;
  for (int i = 0; i < 2000; ++i) accents += "\xc3\xa9";
  record.set_model_version("x" + accents);
  record.set_request_id(std::string(5000, 'i'));
  process->Answer(record);
  ASSERT_TRUE(process->feed.Flush(kPatience).ok());
  ASSERT_THAT(Rows(), SizeIs(1));
}

TEST_F(LedgerTest, TakesEachEventOfAnOutboxOnce) {
  Ledger ledger(*database_);
  int64_t produced = 5;
  int asked = 0;
  const auto source = [&](int64_t after) -> absl::StatusOr<OutboxFeed::Batch> {
    ++asked;
    OutboxFeed::Batch batch{.cursor = after, .records = {}};
    while (batch.cursor < produced && batch.records.size() < 2) {
      v1::UsageRecord record = Call();
      record.set_id(fmt::format("training-{}", ++batch.cursor));
      record.set_kind("training_seconds");
      record.set_quantity(1.5);
      batch.records.push_back(record);
    }
    return batch;
  };
  OutboxFeed feed("training", source, ledger, absl::Hours(1));
  ASSERT_TRUE(feed.Pull().ok());
  EXPECT_EQ(asked, 4);
  EXPECT_THAT(Rows(), SizeIs(5));
  // A replica that read the same cursor before comes too late.
  EXPECT_EQ(*ledger.AddFromOutbox("training", 0, 5, {}), false);
  produced = 6;
  OutboxFeed restarted("training", source, ledger, absl::Hours(1));
  ASSERT_TRUE(restarted.Pull().ok());
  EXPECT_THAT(Rows(), SizeIs(6));
  EXPECT_EQ(ledger.Totals("acme", absl::UnixEpoch(), absl::InfiniteFuture())->at(0).quantity(), 9);
}

TEST_F(LedgerTest, WhileTheDatabaseIsAwayTheJournalKeepsTheRows) {
  const auto process = Start();
  ASSERT_TRUE(process->feed.Flush(kPatience).ok());
  ASSERT_TRUE(database_
                  ->Write([](sql::Transaction& tx) {
                    return tx.Execute("ALTER TABLE usage_records RENAME TO away").status();
                  })
                  .ok());
  for (int i = 0; i < 5; ++i) process->Answer(Call());
  EXPECT_FALSE(process->feed.Flush(absl::Milliseconds(50)).ok());
  ASSERT_TRUE(database_
                  ->Write([](sql::Transaction& tx) {
                    return tx.Execute("ALTER TABLE away RENAME TO usage_records").status();
                  })
                  .ok());
  ASSERT_TRUE(process->feed.Flush(kPatience).ok());
  EXPECT_THAT(Rows(), SizeIs(5));
  EXPECT_GT(process->feed.failures(), 0);
}

}  // namespace
}  // namespace slipway::gateway
