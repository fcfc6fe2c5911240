// The audit log's chains: every way to change what was written is found.
#include "services/gateway/audit/audit_log.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/api/httpbody.pb.h"
#include "gtest/gtest.h"
#include "services/gateway/usage/audit_rounds.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/ledger.h"
#include "services/gateway/usage/ledger_feed.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/refusals.h"
#include "services/gateway/usage/usage_service.h"
#include "slipway/gateway/v1/journal.pb.h"
#include "tests/unit/services/gateway/usage/gateway_database.h"

namespace slipway::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::JournalEntry Change(const std::string& id, const std::string& tenant = "acme") {
  v1::JournalEntry entry;
  v1::AuditRecord& record = *entry.mutable_audit();
  record.set_id(id);
  record.mutable_time()->set_seconds(1'700'000'000);
  record.set_tenant(tenant);
  record.set_key_id("k1");
  record.set_method("slipway.gateway.v1.ModelService/CreateModel");
  record.set_request_id("request-" + id);
  record.set_peer_address("10.0.0.7");
  return entry;
}

v1::JournalEntry Result(const std::string& id, int http_code = 200) {
  v1::JournalEntry entry;
  v1::Outcome& outcome = *entry.mutable_outcome();
  outcome.set_id(id);
  outcome.set_kind(v1::Outcome::AUDIT);
  outcome.set_http_code(http_code);
  outcome.set_resource("tenants/acme/models/" + id);
  return entry;
}

class AuditLogTest : public GatewayDatabase {
 protected:
  void Add(const std::string& writer, const std::vector<v1::JournalEntry>& entries) {
    ASSERT_TRUE(ledger_.Add(writer, entries, {1, 64}).ok());
  }

  // Two writers, results that come at once, later and never.
  void AddSome() {
    Add("one", {Change("a"), Result("a"), Change("b"), Change("c")});
    Add("two", {Change("x"), Result("x", 404), Change("y"), Result("y")});
    Add("one", {Result("b", 409), Change("d"), Result("d")});
  }

  AuditVerdict Verify(const std::vector<AuditHead>& exported = {}) {
    const auto verdict = log_.Verify(exported);
    EXPECT_TRUE(verdict.ok()) << verdict.status();
    return *verdict;
  }

  AuditLog log_{*database_, TestAuditKey()};
  Ledger ledger_{*database_, log_};
};

TEST_F(AuditLogTest, WhatWasWrittenIsVerified) {
  EXPECT_THAT(Verify().faults, IsEmpty());
  AddSome();
  const AuditVerdict verdict = Verify(*log_.Heads());
  EXPECT_THAT(verdict.faults, IsEmpty());
  EXPECT_EQ(verdict.rows, 6);
  ASSERT_THAT(verdict.heads, SizeIs(2));
  EXPECT_EQ(verdict.heads[0].writer, "one");
  EXPECT_EQ(verdict.heads[0].number, 7);
  EXPECT_EQ(verdict.heads, *log_.Heads());
}

TEST_F(AuditLogTest, EntriesThatComeAgainChangeNothing) {
  AddSome();
  const auto heads = *log_.Heads();
  Add("one", {Change("a"), Result("a"), Result("b", 500)});
  EXPECT_EQ(*log_.Heads(), heads);
  EXPECT_THAT(Verify(heads).faults, IsEmpty());
}

TEST_F(AuditLogTest, AChainGoesOnUnderTheNextKey) {
  AddSome();
  AuditLog next(*database_, TestAuditKey(/*newest=*/2));
  Ledger ledger(*database_, next);
  ASSERT_TRUE(ledger.Add("one", {Change("e"), Result("e")}, {1, 64}).ok());
  EXPECT_THAT(Verify().faults, IsEmpty());
  AuditLog lost(*database_, {.newest = 1, .mac = [](int64_t version, std::string_view message) {
                               return version == 1 ? TestAuditKey().mac(1, message) : std::nullopt;
                             }});
  EXPECT_THAT(lost.Verify({})->faults, Contains(HasSubstr("signed with key 2")));
}

struct Tampering {
  std::string name;
  std::string sql;
  std::string found;
};

class TamperingTest : public AuditLogTest, public ::testing::WithParamInterface<Tampering> {};

TEST_P(TamperingTest, IsFound) {
  AddSome();
  const auto heads = *log_.Heads();
  ASSERT_THAT(Verify(heads).faults, IsEmpty());
  Sql(GetParam().sql);
  EXPECT_THAT(Verify(heads).faults, Contains(HasSubstr(GetParam().found)));
}

INSTANTIATE_TEST_SUITE_P(
    , TamperingTest,
    ::testing::Values(
        Tampering{"ARowsResult", "UPDATE audit_records SET http_code = 200 WHERE id = 'b'",
                  "audit record b was altered"},
        Tampering{"ARowsKey", "UPDATE audit_records SET key_id = 'k2' WHERE id = 'a'",
                  "audit record a was altered"},
        Tampering{"ARowsTime", "UPDATE audit_records SET time = time + 1 WHERE id = 'c'",
                  "audit record c was altered"},
        Tampering{"ARowsTenant", "UPDATE audit_records SET tenant = 'globex' WHERE id = 'x'",
                  "audit record x was altered"},
        Tampering{"ARowsWriter", "UPDATE audit_records SET writer = 'two' WHERE id = 'd'",
                  "audit record d was altered"},
        Tampering{"ARowsAbsence", "DELETE FROM audit_records WHERE id = 'y'",
                  "audit record y was removed"},
        Tampering{"ARowTooMany",
                  "INSERT INTO audit_records (id, writer, time, tenant, key_id, method, resource, "
                  "peer_address, request_id, http_code) VALUES "
                  "('z', 'one', 1, 'acme', 'k', 'm', 'r', 'p', 'q', 200)",
                  "audit record z is in no chain"},
        Tampering{"ARowOfAnUnknownWriter",
                  "INSERT INTO audit_records (id, writer, time, tenant, key_id, method, resource, "
                  "peer_address, request_id, http_code) VALUES "
                  "('z', 'three', 1, 'acme', 'k', 'm', 'r', 'p', 'q', 200)",
                  "audit record z is in no chain"},
        Tampering{"AnEntry",
                  "UPDATE audit_chain SET entry = "
                  "(SELECT entry FROM audit_chain WHERE writer = 'two' AND number = 1) "
                  "WHERE writer = 'one' AND number = 1",
                  "entry 1 of chain one was altered"},
        Tampering{"AnEntrysPlace",
                  "UPDATE audit_chain SET record_id = 'e' WHERE writer = 'one' AND number = 4",
                  "entry 4 of chain one was altered"},
        Tampering{"AnEntrysMac",
                  "UPDATE audit_chain SET mac = entry WHERE writer = 'one' AND number = 2",
                  "entry 2 of chain one was altered"},
        Tampering{"AnEntrysAbsence", "DELETE FROM audit_chain WHERE writer = 'one' AND number = 3",
                  "chain one lacks its entries 3 to 3"},
        Tampering{"TheFirstEntrysAbsence",
                  "DELETE FROM audit_chain WHERE writer = 'two' AND number = 1",
                  "chain two lacks its entries 1 to 1"},
        Tampering{"TheEndOfAChain", "DELETE FROM audit_chain WHERE writer = 'two' AND number = 4",
                  "chain two ends at 3, but its head 4 was exported"},
        Tampering{"AWholeChain", "DELETE FROM audit_chain WHERE writer = 'two'",
                  "chain two ends at 0, but its head 4 was exported"}),
    [](const auto& tampering) { return tampering.param.name; });

// Who may write into the database but has no key: row and entry go together, so that only the head
// that was exported tells.
TEST_F(AuditLogTest, ACutThatLeavesRowsAndChainInAgreementIsFoundByTheExportedHead) {
  AddSome();
  const auto heads = *log_.Heads();
  Sql("DELETE FROM audit_chain WHERE writer = 'one' AND number >= 6");
  Sql("DELETE FROM audit_records WHERE id = 'd'");
  EXPECT_THAT(Verify().faults, IsEmpty());
  EXPECT_THAT(Verify(heads).faults, ElementsAre(HasSubstr("chain one ends at 5")));
  // Also once it has grown again.
  Add("one", {Change("e"), Result("e"), Change("f")});
  EXPECT_THAT(Verify(heads).faults,
              ElementsAre(HasSubstr("entry 7 of chain one is not the one whose head")));
}

TEST_F(AuditLogTest, AForgedEntryNeedsTheKey) {
  AddSome();
  AuditLog forger(*database_, {.newest = 1, .mac = [](int64_t, std::string_view message) {
                                 return std::optional(HmacSha256("a guess", message));
                               }});
  Ledger ledger(*database_, forger);
  ASSERT_TRUE(ledger.Add("one", {Change("forged"), Result("forged")}, {1, 64}).ok());
  EXPECT_THAT(Verify().faults, ElementsAre(HasSubstr("entry 8 of chain one was altered"),
                                           HasSubstr("entry 9 of chain one was altered")));
}

// ---- Refusals and heads, from a gateway's journal --------------------------------------------

class AuditRoundsTest : public AuditLogTest {
 protected:
  std::vector<v1::AuditRecord> Refused() {
    EXPECT_TRUE(feed_.Flush(absl::Minutes(1)).ok());
    return log_.List({.kind = AuditQuery::Kind::kRefusals, .newest_first = false, .limit = 10'000})
        .value();
  }
  static Refusal From(std::string_view address) {
    return {.reason = "bad_key",
            .http_code = 401,
            .peer_address = address,
            .verb = "POST",
            .path = "/v2/models/m/infer",
            .request_id = "0123"};
  }

  std::unique_ptr<Journal> journal_ =
      Journal::Open({.folder = folder_ / "journal", .segment_bytes = 512 << 10, .segments = 4})
          .value();
  Recorder recorder_{*journal_, Clock::Real()};
  LedgerFeed feed_{*journal_, ledger_, absl::Milliseconds(1), Clock::Real()};
  Refusals refusals_{recorder_};
  AuditRounds rounds_{log_, refusals_, folder_ / "heads.jsonl", absl::Hours(1)};
  void SetUp() override { feed_.Start(); }
};

TEST_F(AuditRoundsTest, TheFirstRefusalOfAMinuteIsWrittenInFullAndTheOthersAreCounted) {
  for (int i = 0; i < 1000; ++i) refusals_.Count(From("10.0.0.1"));
  refusals_.Count(From("10.0.0.2"));
  Refusal limited = From("10.0.0.1");
  limited.reason = "limit";
  limited.http_code = 429;
  limited.tenant = "acme";
  limited.key_id = "k1";
  refusals_.Count(limited);
  limited.peer_address = "10.0.0.9";
  refusals_.Count(limited);
  auto refused = Refused();
  ASSERT_THAT(refused, SizeIs(3));
  EXPECT_EQ(refused[0].reason(), "bad_key");
  EXPECT_EQ(refused[0].method(), "POST /v2/models/m/infer");
  EXPECT_EQ(refused[0].peer_address(), "10.0.0.1");
  EXPECT_EQ(refused[0].http_code(), 401);
  EXPECT_EQ(refused[0].request_id(), "0123");
  EXPECT_EQ(refused[2].tenant(), "acme");

  ASSERT_TRUE(rounds_.Go().ok());
  refused = Refused();
  ASSERT_THAT(refused, SizeIs(5)) << "one alone is not counted once more";
  std::map<std::string, int64_t> counts;
  for (const auto& each : refused) {
    counts[each.reason() + each.key_id() + each.peer_address()] += each.count();
  }
  EXPECT_EQ(counts["bad_key10.0.0.1"], 1 + 1000);
  EXPECT_EQ(counts["bad_key10.0.0.2"], 1);
  EXPECT_EQ(counts["limitk110.0.0.1"], 1 + 2);
  // The next minute has its own first.
  refusals_.Count(From("10.0.0.1"));
  EXPECT_THAT(Refused(), SizeIs(6));
  EXPECT_THAT(Verify().faults, IsEmpty());
}

TEST_F(AuditRoundsTest, AFloodFromManyAddressesIsBounded) {
  for (int i = 0; i < 20'000; ++i)
    refusals_.Count(From(fmt::format("10.0.{}.{}", i / 256, i % 256)));
  ASSERT_TRUE(rounds_.Go().ok());
  const auto refused = Refused();
  ASSERT_EQ(refused.size(), Refusals::kMaxRefused + 1);
  EXPECT_EQ(refused.back().count(), 20'000 - static_cast<int64_t>(Refusals::kMaxRefused));
  EXPECT_EQ(refused.back().peer_address(), "");
}

TEST_F(AuditRoundsTest, AKeyThatSomebodyPutIntoAPathIsNotWritten) {
  Refusal refusal = From("10.0.0.1");
  refusal.path = "/v2/slw_local_kabc_secret\x01/infer";
  refusals_.Count(refusal);
  EXPECT_EQ(Refused().at(0).method(), "POST /v2/...");
}

TEST_F(AuditRoundsTest, ExportsTheHeadsAndKeepsThoseThatTheDatabaseHasLost) {
  const std::string file = folder_ / "heads.jsonl";
  ASSERT_TRUE(rounds_.Go().ok());
  AddSome();
  ASSERT_TRUE(rounds_.Go().ok());
  const auto exported = ReadHeads(file);
  ASSERT_TRUE(exported.ok()) << exported.status();
  EXPECT_EQ(*exported, *log_.Heads());
  Sql("DELETE FROM audit_chain WHERE writer = 'one' AND number >= 6");
  Sql("DELETE FROM audit_records WHERE id = 'd'");
  Add("one", {Change("e"), Result("e"), Change("f"), Result("f")});
  Add("two", {Change("g")});
  ASSERT_TRUE(rounds_.Go().ok());
  EXPECT_THAT(Verify(*ReadHeads(file)).faults, ElementsAre(HasSubstr("entry 7 of chain one")));
  EXPECT_TRUE(absl::IsInvalidArgument(
      (WriteFileAtomically(file, "{}\n").ok() ? ReadHeads(file).status() : absl::OkStatus())));
}

TEST_F(AuditRoundsTest, ExplainsWhyACallWasRefusedOrCharged) {
  UsageService service(ledger_, log_, feed_);
  const auto explain = [&](const std::string& tenant, const std::string& request_id) {
    Principal who;
    who.tenant = tenant;
    v1::ExplainCallRequest request;
    request.set_request_id(request_id);
    return service.ExplainCall(who, request);
  };
  auto ticket = recorder_.Admit().value();
  v1::UsageRecord charged;
  charged.set_tenant("acme");
  charged.set_kind("inference");
  charged.set_resource("tenants/acme/deployments/d");
  charged.set_quantity(1);
  charged.set_request_id("charged");
  charged.set_asked_for("main");
  ASSERT_TRUE(recorder_.Record(ticket, charged).ok());
  recorder_.Settle(std::move(ticket), 200);
  Refusal refusal = From("10.0.0.1");
  refusal.tenant = "acme";
  refusal.key_id = "k1";
  refusal.request_id = "refused";
  for (int i = 0; i < 3; ++i) refusals_.Count(refusal);
  ASSERT_TRUE(rounds_.Go().ok());
  Add("one", {Change("a"), Result("a")});

  EXPECT_EQ(explain("acme", "charged")->summary(),
            "charged: 1 of inference on tenants/acme/deployments/d, the fallback of main");
  EXPECT_EQ(explain("acme", "refused")->summary(),
            "refused with 401, not charged: bad_key; 3 such in its minute");
  EXPECT_THAT(explain("", "request-a")->summary(), HasSubstr("not charged"));
  EXPECT_TRUE(absl::IsNotFound(explain("globex", "charged").status()));
  EXPECT_TRUE(absl::IsNotFound(explain("acme", "unheard-of").status()));
  EXPECT_EQ(FieldOf(explain("acme", "").status()), "requestId");
}

TEST_F(AuditRoundsTest, ListsAndExportsByWhatOneAsksFor) {
  AddSome();
  Add("one", {Change("other", "globex")});
  UsageService service(ledger_, log_, feed_);
  Principal owner;
  owner.tenant = "acme";
  Principal platform;
  platform.role = Role::kOperator;
  v1::QueryAuditRequest request;
  EXPECT_EQ(service.QueryAudit(owner, request)->audit_records_size(), 6);
  EXPECT_EQ(service.QueryAudit(platform, request)->audit_records_size(), 7);
  request.set_resource("tenants/acme/models/b");
  EXPECT_EQ(service.QueryAudit(owner, request)->audit_records(0).http_code(), 409);
  request.set_resource("");
  request.set_kind(v1::QueryAuditRequest::REFUSALS);
  EXPECT_EQ(service.QueryAudit(owner, request)->audit_records_size(), 0);
  request.set_kind(v1::QueryAuditRequest::CHANGES);
  request.set_tenant("tenants/globex");
  EXPECT_TRUE(absl::IsNotFound(service.QueryAudit(owner, request).status()));
  auto pieces = service.ExportAudit(platform, request).value();
  google::api::HttpBody body;
  ASSERT_TRUE(pieces(body).value());
  EXPECT_THAT(body.data(), HasSubstr(R"("id":"other")"));
  EXPECT_EQ(std::count(body.data().begin(), body.data().end(), '\n'), 1);
  EXPECT_FALSE(pieces(body).value());
}

}  // namespace
}  // namespace slipway::gateway
