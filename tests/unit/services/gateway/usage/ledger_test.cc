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
#include "google/api/httpbody.pb.h"
#include "gtest/gtest.h"
#include "services/gateway/api/pages.h"
#include "services/gateway/audit/audit_log.h"
#include "services/gateway/schema.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/ledger_feed.h"
#include "services/gateway/usage/outbox_feed.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/usage_service.h"
#include "slipway/gateway/v1/journal.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/services/gateway/usage/gateway_database.h"

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
        audit(database, TestAuditKey()),
        ledger(database, audit),
        feed(*journal, ledger, absl::Milliseconds(1), Clock::Real()),
        service(ledger, audit, feed) {}

  Recorder::Ticket Record(v1::UsageRecord record) {
    auto ticket = recorder.Admit().value();
    EXPECT_TRUE(recorder.Record(ticket, record).ok());
    return ticket;
  }
  void Answer(v1::UsageRecord record) { recorder.Settle(Record(std::move(record)), 200); }

  std::unique_ptr<Journal> journal;
  Recorder recorder;
  AuditLog audit;
  Ledger ledger;
  LedgerFeed feed;
  UsageService service;
};

class LedgerTest : public GatewayDatabase {
 protected:
  std::unique_ptr<Process> Start(const std::string& name = "journal", bool feed = true) {
    auto process = std::make_unique<Process>(*database_, folder_ / name);
    if (feed) process->feed.Start();
    return process;
  }

  std::vector<v1::UsageRecord> Rows(const std::string& tenant = "acme") {
    return ledger_.ListUsage({.tenant = tenant, .limit = 10'000}).value();
  }

  std::vector<v1::UsageTotal> Totals(const std::vector<std::string>& group_by,
                                     const std::string& tenant = "acme") {
    return ledger_.Totals({.tenant = tenant, .group_by = group_by}).value();
  }

  AuditLog audit_{*database_, TestAuditKey()};
  Ledger ledger_{*database_, audit_};
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
      const auto rows = process.ledger.ListUsage({.tenant = "acme"}).value();
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
  v1::JournalEntry entry;
  *entry.mutable_usage() = Call();
  entry.mutable_usage()->set_id("one");
  // Twice in one batch, and in later ones.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(ledger_.Add("w", {entry, entry}, {1, 64}).ok());
  EXPECT_THAT(Rows(), SizeIs(1));
  EXPECT_EQ(Totals({"kind"}).at(0).count(), 1);
  EXPECT_EQ(*ledger_.Position("w"), (JournalPosition{1, 64}));
  EXPECT_EQ(*ledger_.Position("other"), JournalPosition());
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

TEST_F(LedgerTest, SumsOfHoursAreThoseOfTheRowsThroughKillsAndReplicas) {
  for (int life = 0; life < 3; ++life) {
    const auto mine = Start("mine");
    const auto other = Start("other");
    for (int i = 0; i < 10; ++i) {
      v1::UsageRecord record = Call();
      record.set_project(i % 2 == 0 ? "web" : "app");
      record.set_model_version(fmt::format("tenants/acme/models/m{}/versions/{}", i % 2, life));
      record.set_output_bytes(i);
      mine->Answer(record);
      auto broken = other->Record(record);
    }
    // What is not flushed stays for the next life.
    if (life == 1) {
      ASSERT_TRUE(mine->feed.Flush(kPatience).ok());
    }
  }
  for (const char* journal : {"mine", "other"}) {
    ASSERT_TRUE(Start(journal)->feed.Flush(kPatience).ok());
  }
  EXPECT_THAT(Rows(), SizeIs(60));
  const auto by_model = Totals({"project", "model"});
  ASSERT_THAT(by_model, SizeIs(2));
  EXPECT_EQ(by_model[0].project(), "app");
  EXPECT_EQ(by_model[0].model(), "tenants/acme/models/m1");
  EXPECT_EQ(by_model[0].count(), 30);
  EXPECT_EQ(by_model[1].model(), "tenants/acme/models/m0");
  EXPECT_EQ(by_model[1].output_bytes(), 3 * 2 * (0 + 2 + 4 + 6 + 8));
  EXPECT_THAT(Totals({"version"}), SizeIs(6));
  EXPECT_THAT(Totals({"tenant"}, ""), SizeIs(1));
}

v1::QueryUsageRequest By(const std::vector<std::string>& groups) {
  v1::QueryUsageRequest request;
  for (const std::string& group : groups) request.add_group_by(group);
  return request;
}

Principal Owner(const std::string& tenant) {
  Principal who;
  who.tenant = tenant;
  who.role = tenant.empty() ? Role::kOperator : Role::kOwner;
  return who;
}

TEST_F(LedgerTest, AnswersWhatWasUsedByDayAndModelInPages) {
  // Two days, at hours of which some are asked for.
  std::vector<v1::JournalEntry> entries;
  for (int i = 0; i < 48; ++i) {
    v1::UsageRecord& record = *entries.emplace_back().mutable_usage();
    record = Call(i % 2 == 0 ? "acme" : "globex");
    record.set_id(fmt::format("row-{:02}", i));
    record.mutable_time()->set_seconds(1'700'006'400 + 3600 * i + 59);  // a midnight
    record.set_model_version("tenants/acme/models/m/versions/12");
  }
  ASSERT_TRUE(ledger_.Add("w", entries, {1, 64}).ok());
  const auto process = Start();
  const auto ask = [&](const std::string& tenant, const v1::QueryUsageRequest& request) {
    const auto answer = process->service.QueryUsage(Owner(tenant), request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return *answer;
  };
  // The operator sees all, and in pages what it sees in one.
  v1::QueryUsageRequest request = By({"day", "tenant", "model"});
  const auto all = ask("", request);
  ASSERT_EQ(all.totals_size(), 4);
  EXPECT_EQ(all.totals(0).time().seconds(), 1'700'006'400);
  EXPECT_EQ(all.totals(1).tenant(), "globex");
  EXPECT_EQ(all.totals(2).model(), "tenants/acme/models/m");
  EXPECT_EQ(all.totals(3).count(), 12);
  request.set_page_size(1);
  for (int i = 0; i < 4; ++i) {
    const auto page = ask("", request);
    ASSERT_EQ(page.totals_size(), 1);
    EXPECT_EQ(page.totals(0).SerializeAsString(), all.totals(i).SerializeAsString());
    EXPECT_EQ(page.next_page_token().empty(), i == 3);
    request.set_page_token(page.next_page_token());
  }
  // A value that is empty has a page behind it, too.
  request = By({"project", "tenant"});
  request.set_page_size(1);
  request.set_page_token(ask("", request).next_page_token());
  EXPECT_EQ(ask("", request).totals(0).tenant(), "globex");
  request = By({"project"});
  request.set_page_token(Page::Token("\n"));
  EXPECT_EQ(ask("", request).totals_size(), 0);
  // A tenant sees its own, and another's is not there.
  EXPECT_EQ(ask("acme", By({"tenant"})).totals_size(), 1);
  request = By({});
  request.set_tenant("tenants/globex");
  EXPECT_TRUE(absl::IsNotFound(process->service.QueryUsage(Owner("acme"), request).status()));
  EXPECT_EQ(ask("", request).totals(0).count(), 24);
  // Parts of an hour are the hour.
  request = By({"hour"});
  request.mutable_start_time()->set_seconds(1'700'006'400 + 3600 + 1);
  request.mutable_end_time()->set_seconds(1'700'006'400 + 3 * 3600 + 1);
  EXPECT_EQ(ask("", request).totals_size(), 3);
  request = By({"kind"});
  request.set_model("tenants/acme/models/n");
  EXPECT_EQ(ask("", request).totals_size(), 0);
  for (const auto& wrong : {By({"colour"}), By({"day", "day"})}) {
    EXPECT_EQ(FieldOf(process->service.QueryUsage(Owner(""), wrong).status()), "groupBy");
  }
  request = By({"day"});
  request.set_page_token("bm90IG91cnM");
  EXPECT_EQ(FieldOf(process->service.QueryUsage(Owner(""), request).status()), "pageToken");
}

TEST_F(LedgerTest, ExportsEachRowOnceAsCsv) {
  std::vector<v1::JournalEntry> entries;
  for (int i = 0; i < 2500; ++i) {
    v1::UsageRecord& record = *entries.emplace_back().mutable_usage();
    record = Call(i % 2 == 0 ? "acme" : "globex");
    record.set_id(fmt::format("row-{:04}", i));
    record.mutable_time()->set_seconds(1'700'000'000 + i / 10);
    record.set_resource(i == 0 ? "=1+1, \"quoted\"" : "plain");
  }
  ASSERT_TRUE(ledger_.Add("w", entries, {1, 64}).ok());
  const auto process = Start();
  const auto read = [&](const Principal& who, const v1::ExportUsageRequest& request) {
    auto pieces = process->service.ExportUsage(who, request);
    EXPECT_TRUE(pieces.ok()) << pieces.status();
    std::string all;
    google::api::HttpBody body;
    while ((*pieces)(body).value()) all += body.data();
    return all;
  };
  const auto lines = [](const std::string& csv) {
    return std::count(csv.begin(), csv.end(), '\n');
  };
  const std::string all = read(Owner(""), {});
  EXPECT_EQ(lines(all), 2501);
  EXPECT_THAT(all, HasSubstr("row-0000,2023-11-14T22:13:20Z,acme,,k1,inference,"
                             "\"'=1+1, \"\"quoted\"\"\",,1,,200,false,10,0,0,0,\r\n"));
  for (int i = 0; i < 2500; ++i) {
    EXPECT_THAT(all, HasSubstr(fmt::format("row-{:04},", i)));
  }
  EXPECT_EQ(lines(read(Owner("globex"), {})), 1251);
  v1::ExportUsageRequest request;
  request.mutable_end_time()->set_seconds(1'700'000'001);
  EXPECT_EQ(lines(read(Owner(""), request)), 11);
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
  OutboxFeed feed("training", source, ledger_, absl::Hours(1));
  ASSERT_TRUE(feed.Pull().ok());
  EXPECT_EQ(asked, 4);
  EXPECT_THAT(Rows(), SizeIs(5));
  // A replica that read the same cursor before comes too late.
  EXPECT_EQ(*ledger_.AddFromOutbox("training", 0, 5, {}), false);
  produced = 6;
  OutboxFeed restarted("training", source, ledger_, absl::Hours(1));
  ASSERT_TRUE(restarted.Pull().ok());
  EXPECT_THAT(Rows(), SizeIs(6));
  EXPECT_EQ(Totals({"kind"}).at(0).quantity(), 9);
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
