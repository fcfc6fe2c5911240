// What powercut_test records and cuts: `slipway-power-writer <workload> <folder>` does some work in
// the folder and says, line by line, what of it may no longer be lost.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/blob/file_blob_store.h"
#include "common/files/files.h"
#include "common/sql/database.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/gateway/schema.h"
#include "services/gateway/usage/journal.h"
#include "services/gateway/usage/ledger.h"
#include "services/gateway/usage/ledger_feed.h"
#include "services/gateway/usage/recorder.h"
#include "slipway/gateway/v1/usage.pb.h"
#include "tests/integration/powercut/workload.h"
#include "tests/support/powercut/disk.h"

namespace slipway {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

template <class T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

class Acknowledgements {
 public:
  explicit Acknowledgements(const std::string& folder)
      : file_(::open(fmt::format("{}/{}", folder, powercut::kAcknowledged).c_str(),
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {}
  void Say(const std::string& line) const {
    const std::string text = line + "\n";
    if (::write(file_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
  }

 private:
  const int file_;
};

void WriteFiles(const std::string& folder, const Acknowledgements& done) {
  for (int i = 0; i < 40; ++i) {
    Require(WriteFileAtomically(folder + "/settings", ContentOf(i)));
    done.Say(fmt::format("settings {}", i));
    if (i % 4 != 0) continue;
    Require(WriteFileAtomically(fmt::format("{}/file-{}", folder, i), ContentOf(i)));
    done.Say(fmt::format("file {}", i));
  }
}

void WriteBlobs(const std::string& folder, const Acknowledgements& done) {
  const auto store = Require(FileBlobStore::Open(folder + "/blobs"));
  std::vector<std::pair<std::string, Digest>> stored;
  for (int i = 0; i < 24; ++i) {
    const std::string tenant = fmt::format("tenant-{}", i % 3);
    const auto writer = Require(store->NewWriter(tenant));
    Require(writer->Append(ContentOf(i)));
    const Digest digest = Require(writer->Commit(std::nullopt)).digest;
    done.Say(fmt::format("stored {} {}", tenant, digest.ToString()));
    stored.emplace_back(tenant, digest);
    if (i % 4 != 3) continue;
    const auto& [owner, old] = stored[i / 2];
    done.Say(fmt::format("deleting {} {}", owner, old.ToString()));
    Require(store->Delete(owner, old));
    done.Say(fmt::format("deleted {} {}", owner, old.ToString()));
  }
}

// Rows so large that SQLite carries its log into the database, and begins it anew, some times.
void WriteSql(const std::string& folder, const Acknowledgements& done) {
  const auto database = Require(sql::Database::Open("sqlite:" + folder + "/power.db"));
  std::vector<sql::Migration> schema = {
      {.number = 1,
       .name = "two tables",
       .sql = "CREATE TABLE a (id BIGINT PRIMARY KEY, content TEXT NOT NULL);"
              "CREATE TABLE b (id BIGINT PRIMARY KEY, content TEXT NOT NULL)"}};
  Require(database->Migrate(schema));
  for (int i = 0; i < 120; ++i) {
    std::string content;
    while (content.size() < 60'000) content += ContentOf(i);
    Require(database->Write([&](sql::Transaction& tx) -> absl::Status {
      for (const char* insert : {"INSERT INTO a (id, content) VALUES (?, ?)",
                                 "INSERT INTO b (id, content) VALUES (?, ?)"}) {
        RETURN_IF_ERROR(tx.Execute(insert, {i, content}).status());
      }
      // Old pages change as well.
      return tx.Execute("DELETE FROM a WHERE id = ?", {i - 7}).status();
    }));
    done.Say(fmt::format("row {}", i));
    if (i == 20) {
      schema.push_back({.number = 2, .name = "a third", .sql = "CREATE TABLE c (id BIGINT)"});
      Require(database->Migrate(schema));
      done.Say("migrated 20");
    }
  }
}

void WriteJournal(const std::string& folder, const Acknowledgements& done) {
  const auto journal = Require(gateway::Journal::Open(JournalAt(folder)));
  for (int i = 0; i < 60; ++i) {
    auto room = Require(journal->Reserve(1));
    Require(journal->Append(room, ContentOf(i).substr(0, 500)));
    if (i % 3 != 2) continue;
    Require(journal->Sync());
    done.Say(fmt::format("record {}", i));
  }
}

struct Usage {
  explicit Usage(const std::string& folder)
      : database(Require(sql::Database::Open("sqlite:" + folder + "/gateway.db"))) {
    Require(database->Migrate(gateway::Schema()));
    journal = Require(gateway::Journal::Open(UsageJournalAt(folder)));
  }
  std::unique_ptr<sql::Database> database;
  std::unique_ptr<gateway::Journal> journal;
};

// What was there before the recording, so that a cut is not always in a migration.
void PrepareUsage(const std::string& folder, const Acknowledgements&) { const Usage made(folder); }

void WriteUsage(const std::string& folder, const Acknowledgements& done) {
  const Usage usage(folder);
  gateway::Recorder recorder(*usage.journal, Clock::Real());
  gateway::AuditLog audit(*usage.database, {});
  gateway::Ledger ledger(*usage.database, audit);
  gateway::LedgerFeed feed(*usage.journal, ledger, absl::Milliseconds(1), Clock::Real());
  feed.Start();
  for (int i = 0; i < 160; ++i) {
    auto ticket = Require(recorder.Admit());
    gateway::v1::UsageRecord record;
    record.set_tenant("acme");
    record.set_kind("inference");
    record.set_quantity(1);
    record.set_http_code(200);
    record.set_request_id(fmt::format("call-{}", i));
    Require(recorder.Record(ticket, record));
    done.Say(fmt::format("recorded {}", i));
    if (i % 2 == 0) Require(usage.journal->Sync());
    if (i % 2 == 0) done.Say(fmt::format("row {}", i));
    recorder.Settle(std::move(ticket), 200);
    done.Say(fmt::format("answered {}", i));
    // Some rows come without their outcome, and later get it.
    if (i % 10 == 0) Require(feed.Flush(absl::Minutes(1)));
  }
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  using namespace slipway;
  const std::map<std::string_view, std::function<void(const std::string&, const Acknowledgements&)>>
      workloads = {{"files", WriteFiles}, {"blobs", WriteBlobs},
                   {"sql", WriteSql},     {"journal", WriteJournal},
                   {"usage", WriteUsage}, {"prepare-usage", PrepareUsage}};
  if (argc != 3 || !workloads.contains(argv[1])) {
    std::fprintf(stderr, "usage: slipway-power-writer <workload> <folder>\n");
    return 2;
  }
  workloads.at(argv[1])(argv[2], Acknowledgements(argv[2]));
  return 0;
}
